"""Limits that may differ from device to device and change with time: what stream and batch give the same functions."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class DeviceLimits(Protocol):
    """Limits by device number and instant; a pure function of both, whoever asks."""

    def spike_threshold_g(self, device: NDArray[np.int32], start_us: Ints) -> Floats:
        """Return (N,) least deviations of events in windows that start at `start_us`."""

    def rest(self, device: NDArray[np.int32], start_us: Ints) -> tuple[Floats, Floats]:
        """Return, for minutes, (N,) ENMO under which a device is at rest, mg, and (N,) heart rate that is high then."""
