"""P19: the stream's rate with recovery on against its rate without, at 100 devices and at 10,000.

With recovery every epoch (`WEARABLES_STREAM_EPOCH_S`, as P6 and P20 have it) ends with a snapshot of positions and
state; without, nothing is saved. Everything else is the same, and so is what both wrote.
"""

from __future__ import annotations

from wearables_platform_tests.benchmarks.fleet_log import LogShape
from wearables_platform_tests.benchmarks.p2_stream import MESSAGES_PER_SECOND
from wearables_platform_tests.benchmarks.runner import Figure, compare
from wearables_platform_tests.benchmarks.stream_job import prepared_job, stream_lap

SIZES = {"P19-100": 100, "P19-10k": 10_000}


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate with and without, for few devices and for many."""
    return [_of_size(name, devices, rounds, seconds) for name, devices in SIZES.items()]


def _of_size(name: str, devices: int, rounds: int, seconds: float) -> Figure:
    windows = max(2, int(MESSAGES_PER_SECOND[100] * seconds / devices / 10))
    with prepared_job(LogShape(devices, windows * 10)) as job:
        sides = {
            f"recovery on, epoch {job.settings.stream_epoch_s:g} s": lambda: stream_lap(job),
            "off": lambda: stream_lap(job, recovery=False),
        }
        return compare(name, sides, rounds=rounds, must=0.95, stretch=0.98, unit="of recovery off")
