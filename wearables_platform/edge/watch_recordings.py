"""Real smartwatch recordings any machine can have: 10 people, 140 recordings at 50 Hz, in the `seglearn` wheel.

Shoulder exercises, 81 minutes in all (arXiv 1802.01489, BSD-3). The package is found, not imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from wearables_platform.domain.labels import label_name
from wearables_platform.domain.time_policy import US_PER_S, to_us
from wearables_platform.edge.recordings import Recording
from wearables_platform.errors import ConfigError

PEOPLE: Final = 10
RATE_HZ: Final = 50.0
PAUSE_S: Final = 10.0  # between two recordings of a person: a gap no filter reaches across
_FILE: Final = Path("data") / "watch_dataset.npy"


def watch_recordings(start: datetime) -> Iterator[tuple[int, Recording]]:
    """Return (person 1 to 10, recording), each person's recordings one after another from `start` on.

    Each recording is labelled with its exercise.

    Raises
    ------
    ConfigError
        The `demo` extra, which brings the recordings, is not installed.
    """
    held = np.load(_dataset(), allow_pickle=True).item()  # from a wheel whose hash is pinned
    next_us = dict.fromkeys(range(1, PEOPLE + 1), to_us(start))
    for number, (subject, rows) in enumerate(zip(held["subject"], held["X"], strict=True)):
        person = int(subject)
        time_us = next_us[person] + np.round(np.arange(len(rows)) * 1e6 / RATE_HZ).astype(np.int64)
        next_us[person] = _whole_second(int(time_us[-1]) + round(PAUSE_S * US_PER_S))
        exercise = np.full(len(rows), label_name(held["y_labels"][held["y"][number]]))
        name = f"person-{person:02d}-{number:03d}"
        yield person, Recording(name, time_us, np.array(rows[:, :3], float), RATE_HZ, labels=exercise)


def recordings_of(device_ids: Sequence[str], start: datetime) -> Iterator[tuple[str, Recording]]:
    """Return (device, recording): the first device is worn by person 1, and so on."""
    if len(device_ids) > PEOPLE:
        msg = f"there are recordings of {PEOPLE} people, not of {len(device_ids)}"
        raise ConfigError(msg)
    for person, recording in watch_recordings(start):
        if person <= len(device_ids):
            yield device_ids[person - 1], recording


def _whole_second(time_us: int) -> int:
    return -(-time_us // US_PER_S) * US_PER_S


def _dataset() -> Path:
    spec = importlib.util.find_spec("seglearn")
    path = Path(spec.origin).parent / _FILE if spec is not None and spec.origin else None
    if path is None or not path.exists():
        msg = "the smartwatch recordings come with the package seglearn, which is not installed (extra: demo)"
        raise ConfigError(msg)
    return path
