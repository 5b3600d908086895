"""P9: bytes of state per device at 100 Hz.

A lane of the stream is fed by a simulated clock in steps of 100 ms, in a process of its own. Counted are the bytes of
the state's own columns, on average over the steps; beside them stands by how much the process grew, which includes what
the allocator keeps. The rows that left meanwhile must hold every sample of the windows that could be closed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from wearables_platform_tests.benchmarks.runner import Figure, judged, tell

FEW, MANY = 2_000, 10_000
SIMULATED_S = 12


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Weigh the state in a fresh process per round."""
    devices = FEW if seconds < 10 else MANY
    found = []
    for done in range(min(rounds, 3)):
        tell("P9", done, min(rounds, 3))
        found.append(_weighed(devices))
    held = [sum(one["bytes"].values()) / 1_000 for one in found]
    grown = [one["rss_bytes"] / 1_000 for one in found]
    whole = all(one["whole"] for one in found)
    common: dict[str, Any] = {"must": 4.0, "stretch": 2.0, "whole": whole, "at_most": True}
    parts = ", ".join(f"{name} {size:,.0f} B" for name, size in found[0]["bytes"].items() if size)
    largest = max(one["bytes_largest"] for one in found)
    cost = statistics.median(one["cpu_us_each"] for one in found)
    detail = f"{devices:,} devices: {parts}; at most {largest:,.0f} B; live, without broker and stores, "
    detail += f"{cost:.1f} us CPU a message"
    return [
        judged("P9", held, unit="kB per device", detail=detail, **common),
        judged(
            "P9-rss", grown, unit="kB per device", detail="growth of the process, state, index and allocator", **common
        ),
    ]


def _weighed(devices: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "wearables_platform_tests.benchmarks.live_loop", str(devices), str(SIMULATED_S)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ChildProcessError(done.stderr[-2_000:])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
