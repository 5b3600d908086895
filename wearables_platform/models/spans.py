"""What the activity model sees of a second: the second itself, and the two before and after it.

A span never reaches across a hole, another device or a reboot's gap: at the ends of a stretch it is shorter. It does
reach across a change of activity, as a span in life does. A row's bits do not depend on the rows it is computed with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.inputs import MODEL_FEATURES, Matrix, scorable
from wearables_platform.signals.windows import WINDOW_US, WindowRows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REACH_S: Final = 2
"""Seconds seen before and after: 5 s in all, as in studies of the wrist; a live score would be so much later."""

SMOOTHING: Final = (1.0, 4.0, 1.0)
"""Weights of the second before, the second itself and the one after when probabilities are averaged. A plain mean of
three does as well where activities last, and loses those that are over in a second (docs/learning.md)."""

POSTURE_FEATURES: Final = ("x_mean_g", "y_mean_g", "z_mean_g", "angle_z_deg", "pitch_deg", "roll_deg")
"""Which way the wrist points tells activities apart; strapping a watch on otherwise changes it, which is why people who
wear it otherwise must be among those a model is judged on."""

BASE_FEATURES: Final = (*MODEL_FEATURES, *POSTURE_FEATURES)
ASPECTS: Final = ("", "_span_mean", "_span_sd", "_before", "_after")
SPAN_FEATURES: Final = tuple(f"{name}{aspect}" for aspect in ASPECTS for name in BASE_FEATURES)
"""The second's own value; mean and standard deviation over the span; what the seconds before and after differ by."""

ROWS_AT_ONCE: Final = 65_536


@dataclass(frozen=True)
class Stretches:
    """For each of W rows, the first and last row of the unbroken stretch it lies in."""

    first: Ints
    last: Ints

    @classmethod
    def of(cls, device: NDArray[np.int32], start_us: Ints) -> Stretches:
        """Find stretches in rows sorted by (device, start)."""
        count = len(start_us)
        if not count:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        begins = np.flatnonzero(np.r_[True, (device[1:] != device[:-1]) | (np.diff(start_us) != WINDOW_US)])
        sizes = np.diff(np.r_[begins, count])
        return cls(np.repeat(begins, sizes), np.repeat(begins + sizes - 1, sizes))

    def neighbour(self, rows: Ints, step: int) -> tuple[Ints, NDArray[np.bool_]]:
        """Return the row `step` seconds on, and whether the stretch has one; the row itself where it has not."""
        other = rows + step
        there = (other >= self.first[rows]) & (other <= self.last[rows])
        return np.where(there, other, rows), there


def span_matrix(rows: WindowRows) -> tuple[Matrix, NDArray[np.bool_]]:
    """Return the (W, F) float32 inputs of `SPAN_FEATURES`, NaN where one is not defined, and which rows have any.

    Parameters
    ----------
    rows : WindowRows
        Sorted by (device, start_us). Those `inputs.scorable` leaves out have no inputs and end a stretch.
    """
    usable = scorable(rows)
    kept = rows.take(np.flatnonzero(usable))
    base = np.column_stack([kept[name].astype(np.float64) for name in BASE_FEATURES])
    stretches = Stretches.of(kept.device, kept.start_us)
    matrix = np.full((len(rows), len(SPAN_FEATURES)), np.nan, dtype=np.float32)
    found = np.empty((len(kept), len(SPAN_FEATURES)), dtype=np.float32)
    for begin in range(0, len(kept), ROWS_AT_ONCE):
        chunk = np.arange(begin, min(begin + ROWS_AT_ONCE, len(kept)))
        found[chunk] = _aspects(base, stretches, chunk)
    matrix[usable] = found
    return matrix, usable


def smoothed(probability: Floats, stretches: Stretches) -> Floats:
    """Average (W, C) probabilities over each row and its neighbours in its stretch, weighted by `SMOOTHING`."""
    rows = np.arange(len(probability), dtype=np.int64)
    total, weights = np.zeros_like(probability), np.zeros(len(probability))
    for step, weight in zip((-1, 0, 1), SMOOTHING, strict=True):
        other, there = stretches.neighbour(rows, step)
        total += np.where(there[:, None], weight * probability[other], 0.0)
        weights += weight * there
    return total / weights[:, None]


def _aspects(base: Floats, stretches: Stretches, rows: Ints) -> Floats:
    """Return the five aspects of each base feature; sums go second after second, so that bits are a row's own."""
    own = base[rows]
    before, after = _Tally(own.shape), _Tally(own.shape)
    squares = _Tally(own.shape)
    for step in range(-REACH_S, REACH_S + 1):
        other, there = stretches.neighbour(rows, step)
        values = np.where(there[:, None], base[other], np.nan)
        squares.add(values * values)
        if step:
            (before if step < 0 else after).add(values)
    centre = _Tally(own.shape).add(own)
    whole = before.joined(centre).joined(after)
    mean = whole.mean()
    sd = np.sqrt(np.maximum(squares.mean() - mean * mean, 0.0))
    return np.column_stack([own, mean, sd, before.mean(or_else=own) - own, after.mean(or_else=own) - own])


class _Tally:
    """Sums and counts of numbers, NaN left out."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.total = np.zeros(shape)
        self.count = np.zeros(shape)

    def add(self, values: Floats) -> _Tally:
        known = ~np.isnan(values)
        self.total += np.where(known, values, 0.0)
        self.count += known
        return self

    def joined(self, other: _Tally) -> _Tally:
        both = _Tally(self.total.shape)
        both.total, both.count = self.total + other.total, self.count + other.count
        return both

    def mean(self, or_else: Floats | float = np.nan) -> Floats:
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1.0), or_else)
