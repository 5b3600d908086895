"""The rate of a recording, from its stamps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONG_STEP_PERIODS = 10
"""A step longer than so many usual ones is a gap in the recording; a shorter one is a stall, and counts."""


def measured_rate_hz(time_us: NDArray[np.int64]) -> float:
    """Return samples per second, stalls and what they delay included, long gaps excluded; NaN without a step.

    A median step would do for a steady clock only: phones whose steps alternate between 2 and 6 ms sample at 220 Hz
    and have a median step of 4.9 ms, and stamps in whole milliseconds make 10 ms of 9.6.

    >>> measured_rate_hz(np.array([0, 10_000, 30_000, 30_000, 40_000, 9_000_000, 9_010_000]))
    100.0
    """
    step_us = np.diff(time_us).astype(np.float64)
    positive_us = step_us[step_us > 0]
    if not len(positive_us):
        return float("nan")
    kept_us = step_us[step_us <= LONG_STEP_PERIODS * np.median(positive_us)]
    return float(round(1e6 * len(kept_us) / kept_us.sum(), 6))
