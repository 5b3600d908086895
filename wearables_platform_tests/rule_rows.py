"""One-second rows and heart rates with planted cases, for tests of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.minutes import Readings
from wearables_platform.signals.windows import WindowRows

HOUR_US = 3_600_000_000
START_US = 1_774_778_400_000_000  # a whole UTC hour
RESTING: dict[str, float] = {
    "n_samples": 100, "rate_hz": 100.0, "coverage": 1.0, "vm_mean_g": 1.0, "vm_std_g": 0.02, "vm_min_g": 0.97,
    "vm_max_g": 1.04, "vm_p95_g": 1.03, "enmo_mg": 8.0, "mad_mg": 9.0, "z_mean_g": 1.0, "x_std_g": 0.02,
    "y_std_g": 0.02, "z_std_g": 0.02,
}  # fmt: skip


def rows(seconds: npt.NDArray[Any], device: int = 0, **features: Any) -> WindowRows:
    """Return a device's rows at these seconds after the start; features are those of rest unless given."""
    n = len(seconds)
    values: Mapping[str, Any] = {**RESTING, **features}
    columns = {
        column.name: np.broadcast_to(np.asarray(values.get(column.name, 0.0)), n).astype(column.dtype)
        for column in FEATURE_COLUMNS
    }
    start_us = START_US + np.asarray(seconds, np.int64) * 1_000_000
    return WindowRows(np.full(n, device, np.int32), start_us, columns)


def readings(seconds: npt.NDArray[Any], bpm: Any, device: int = 0) -> Readings:
    """Return heart rates of a device at these seconds after the start, ten seconds of them in a message."""
    n = len(seconds)
    values = np.broadcast_to(np.asarray(bpm, np.float32), n)
    at = np.asarray(seconds, np.int64)
    return Readings.of(np.full(n, device, np.int32), START_US + at * 1_000_000, values, at // 10)


def together(parts: list[WindowRows]) -> WindowRows:
    """Join rows of several devices in the order rows come in."""
    joined = WindowRows.concat(parts)
    return joined.take(np.lexsort((joined.start_us, joined.device)))
