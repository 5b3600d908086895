"""How scores are spread: counts in bins, and by how much two spreads differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BINS: Final = 50
MIN_SHARE: Final = 0.05
"""Bins are put together until the reference has so much in each: rare scores must not decide."""


@dataclass
class ScoreCounts:
    """Counts of scores in `BINS` equal bins over [0, 1]."""

    windows: int = 0
    not_a_number: int = 0
    alarms: int = 0
    bins: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, scores: Floats, alarm_threshold: float) -> None:
        """Count (W,) scores of windows that should have one."""
        known = scores[np.isfinite(scores)]
        self.windows += len(scores)
        self.not_a_number += len(scores) - len(known)
        self.alarms += int((known >= alarm_threshold).sum())
        place = (known * BINS).astype(np.int64).clip(0, BINS - 1)
        self.bins += np.bincount(place, minlength=BINS)

    def merge(self, other: ScoreCounts) -> None:
        """Add another's counts."""
        self.windows += other.windows
        self.not_a_number += other.not_a_number
        self.alarms += other.alarms
        self.bins += other.bins

    @property
    def alarm_rate(self) -> float:
        """Share of windows that are alarms."""
        return self.alarms / max(self.windows, 1)


def psi(reference: Counts, found: Counts) -> float:
    """Return the population stability index of two histograms; 0 where they are alike, over 0.25 a large shift.

    >>> even, low = np.full(BINS, 100), np.r_[np.full(25, 200), np.zeros(25, int)]
    >>> psi(even, even)
    0.0
    >>> psi(even, low) > 1
    True
    """
    group = _groups(reference)
    expected, seen = (np.bincount(group, weights=counts) + 0.5 for counts in (reference, found))
    expected, seen = expected / expected.sum(), seen / seen.sum()
    return float(((seen - expected) * np.log(seen / expected)).sum())


def _groups(reference: Counts) -> NDArray[np.int64]:
    """Give bins their groups, so that each group holds `MIN_SHARE` of the reference."""
    group, held, number = np.zeros(len(reference), np.int64), 0.0, 0
    wanted = MIN_SHARE * max(int(reference.sum()), 1)
    for place, count in enumerate(reference.tolist()):
        group[place] = number
        held += count
        if held >= wanted:
            held, number = 0.0, number + 1
    group[group == number] = max(number - 1, 0)  # what is left over belongs to the last whole group
    return group
