"""Measure the live page over 10,000 devices of which nearly all send every second.

Run with `python -m wearables_platform_tests.measure_live_page [DEVICES]`. Prints when the first row was shown, bytes of
the live stream per second, and the page's long tasks (over 50 ms on its main thread) as Chromium counts them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import requests

from wearables_platform_tests.api_process import ApiProcess
from wearables_platform_tests.api_world import TOKEN
from wearables_platform_tests.live_page_stage import open_browser, open_stage

LISTEN_S = 20
DEVICES = 10_000
OBSERVE = """() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((entry) => entry.duration)))
        .observe({ type: "longtask", buffered: true });
}"""


def main(devices: int = DEVICES) -> None:
    """Measure and print one line of JSON."""
    with open_stage(devices) as stage, open_browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        began_s = time.monotonic()
        page.goto(f"{stage.api.url}/#token={TOKEN}")
        page.wait_for_selector("tr[data-device]")
        first_row_s = time.monotonic() - began_s
        page.evaluate(OBSERVE)
        rates = stream_rates(stage.api)
        tasks = sorted(page.evaluate("window.tasks"))
        told: dict[str, Any] = {"devices": devices, "first_row_s": round(first_row_s, 2), **rates}
        told |= {"long_tasks": len(tasks), "longest_task_ms": round(tasks[-1]) if tasks else 0}
        told["median_long_task_ms"] = round(tasks[len(tasks) // 2]) if tasks else 0
        sys.stdout.write(f"{json.dumps(told)}\n")


def stream_rates(api: ApiProcess) -> dict[str, float]:
    """Read a stream as the page does, and return the size of its first frames and the rate after them."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    parameters: dict[str, Any] = {"rows": "compact", "limit": 20_000}
    with requests.get(
        f"{api.url}/v1/live/stream", params=parameters, headers=headers, stream=True, timeout=30
    ) as reply:
        received, rows, first_bytes, began_s = 0, 0, 0, 0.0
        for line in reply.iter_lines(chunk_size=65_536):
            received += len(line) + 1
            if line.startswith(b'data: {"as_of"'):
                if not began_s:
                    first_bytes, received, began_s = received, 0, time.monotonic()
                else:
                    rows += len(json.loads(line[6:])["changed"])
            if began_s and time.monotonic() - began_s > LISTEN_S:
                break
        elapsed_s = time.monotonic() - began_s
    return {
        "first_kB": round(first_bytes / 1e3),
        "kB_per_s": round(received / elapsed_s / 1e3, 1),
        "rows_per_s": round(rows / elapsed_s),
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
