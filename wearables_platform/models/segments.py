"""Activity segments: consecutive windows of one activity, joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.windows import WINDOW_US

MIN_SEGMENT_S: Final = 5
"""Shorter ones are not told: a span of five seconds decides a window, and turns of activity blur it."""

BRIDGED_S: Final = 5
"""So much of something else, or of nothing, between two segments of one activity is part of it."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """S segments, each of one device, one worn span, one activity and one version; all arrays share the axis S.

    Attributes
    ----------
    first : (S,) row of the first window
    end_us : (S,) end of the last window
    windows : (S,) windows of the activity in it
    confidence : (S,) mean of theirs
    """

    first: Ints
    end_us: Ints
    windows: Ints
    confidence: NDArray[np.float64]


def join_segments(keys: NDArray[np.int64], start_us: Ints, confidence: NDArray[np.float64]) -> Segments:
    """Join windows that say the same into segments.

    Parameters
    ----------
    keys : (W, K) int64
        Device first; windows with equal keys may be joined. Windows of which nothing is to be said are left out.
    start_us : (W,) int64
        Rising within a device; the rows are sorted by (device, start).
    confidence : (W,) float64
    """
    run = _runs(keys, start_us, WINDOW_US)
    long_enough = np.bincount(run)[run] >= MIN_SEGMENT_S if len(run) else np.zeros(0, np.bool_)
    kept = np.flatnonzero(long_enough)
    run = _runs(keys[kept], start_us[kept], (BRIDGED_S + 1) * WINDOW_US)
    if not len(run):
        empty = np.zeros(0, np.int64)
        return Segments(empty, empty, empty, np.zeros(0))
    first = np.flatnonzero(np.r_[True, np.diff(run) > 0])
    last = np.r_[first[1:], len(run)] - 1
    windows = last - first + 1
    return Segments(
        first=kept[first],
        end_us=start_us[kept[last]] + WINDOW_US,
        windows=windows,
        confidence=np.minimum(np.add.reduceat(confidence[kept], first) / windows, 1.0),
    )


def _runs(keys: NDArray[np.int64], start_us: Ints, at_most_us: int) -> Ints:
    """Give each run of equal keys whose starts lie no further apart than `at_most_us` a number."""
    if not len(start_us):
        return np.zeros(0, np.int64)
    other = (keys[1:] != keys[:-1]).any(axis=1) | (np.diff(start_us) > at_most_us)
    return np.cumsum(np.r_[False, other])
