"""What memory a day takes: the peak of a process that computes a day, for days of different size.

``python -m wearables_platform_tests.day_memory`` prints the table of docs/lake.md: days of 8 and of 32 device-hours at
100 Hz, at the platform's own limits. Each day is made in one process and computed in another, whose peak is told.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from wearables_platform.batch import messages
from wearables_platform.batch.messages import export_days
from wearables_platform.batch.rules import build_rules
from wearables_platform.batch.windows import build_features
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.feature_schema import WINDOWS_DATASET
from wearables_platform_tests.days_rig import motion
from wearables_platform_tests.lake_rig import DAY, DAY_US, ListedArchive

SAMPLES_AT_ONCE_IN_TESTS = 3_000
MESSAGES_PER_FILE_IN_TESTS = 500


@dataclass(frozen=True)
class Peak:
    """What a process held at most, and the windows it wrote."""

    windows: int
    peak_kb: int


def built_in_child(
    directory: Path, devices: int, seconds: int, rate_hz: float = 50.0, *, own_limits: bool = False
) -> Peak:
    """Write a day of raw messages and compute it, each in a process of its own."""
    directory.mkdir()
    arguments = [str(directory), str(devices), str(seconds), str(rate_hz), str(int(own_limits))]
    _child("make", *arguments)
    windows, peak_kb = _child("build", *arguments).split()
    return Peak(int(windows), int(peak_kb))


def _child(*arguments: str) -> str:
    command = [sys.executable, "-m", "wearables_platform_tests.day_memory", *arguments]
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return ended.stdout


def _documents(devices: int, seconds: int, rate_hz: float) -> Iterator[Mapping[str, Any]]:
    for number in range(devices):
        yield from islice(motion(f"watch-{number:03d}", DAY_US, seconds, rate_hz=rate_hz), seconds)


def _make(lake: Lake, devices: int, seconds: int, rate_hz: float, *, own_limits: bool) -> None:
    count = devices * seconds
    if not own_limits:
        buckets = messages.bucket_count(count, MESSAGES_PER_FILE_IN_TESTS)
        messages.bucket_count = lambda _: buckets  # type: ignore[assignment]
    export_days(ListedArchive(_documents(devices, seconds, rate_hz), count), lake, ACCELERATION, [DAY])  # type: ignore[arg-type]


def _build(lake: Lake, *, own_limits: bool) -> None:
    limit = None if own_limits else SAMPLES_AT_ONCE_IN_TESTS
    build_features(lake, DAY, samples_at_once=limit)
    build_rules(lake, DAY, rows_at_once=limit)
    manifest = lake.manifest(WINDOWS_DATASET, DAY)
    assert manifest is not None
    sys.stdout.write(f"{manifest.rows} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")


def _print_table() -> None:
    with TemporaryDirectory() as directory:
        for devices in (8, 32):
            found = built_in_child(Path(directory) / str(devices), devices, 3_600, 100.0, own_limits=True)
            sys.stdout.write(f"{devices} device-hours, {found.windows} windows: {found.peak_kb / 1_024:.0f} MB\n")


def main(arguments: list[str]) -> None:
    """Print the table, or do one step of it."""
    if not arguments:
        _print_table()
        return
    step, directory, devices, seconds, rate_hz, own = arguments
    lake = open_lake(Path(directory).as_uri())
    if step == "make":
        _make(lake, int(devices), int(seconds), float(rate_hz), own_limits=own == "1")
    else:
        _build(lake, own_limits=own == "1")


if __name__ == "__main__":
    main(sys.argv[1:])
