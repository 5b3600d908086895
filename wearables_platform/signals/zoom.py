"""Zoom levels: least, mean and greatest sample of every cell of a time grid, for drawing long recordings.

Cells lie on multiples of their width since the epoch, so cells of different devices, days and files fit together, and
a coarser level is made of a finer one. Sums are integers (2^-20 g): addition is then exact in any order, and with it
the law **a level made from a finer level equals the level made from the samples**, bit by bit, whatever the chunks.

Numpy in, arrays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Each divides the next, and a day.
WIDTHS_US: Final = (10_000, 100_000, 1_000_000, 10_000_000, 60_000_000)
# A level is kept where a cell stands for at least so many samples; for less, the samples themselves are as short.
MIN_SAMPLES: Final = 64
PER_G: Final = 2**20  # a mean is exact to half a millionth of g
LIMIT_G: Final = 1_024.0  # beyond it a sample counts as this much in the sum, so that a day's sum fits 63 bits

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cells:
    """C cells in (device, start) order, each pair once.

    Attributes
    ----------
    device : (C,) int64
        Index chosen by the caller.
    start_us : (C,) int64
        Begin of the cell, microseconds since the Unix epoch, UTC.
    n : (C,) int64
        Samples in the cell, at least one.
    low_g, high_g : (C, 3) float32
        Least and greatest sample per axis.
    total : (C, 3) int64
        Sum per axis in 2^-20 g.
    """

    device: Ints
    start_us: Ints
    n: Ints
    low_g: Floats
    high_g: Floats
    total: Ints

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.start_us)

    @property
    def mean_g(self) -> npt.NDArray[np.float64]:
        """Return (C, 3) means."""
        return np.asarray(self.total / self.n[:, None] / PER_G)

    @classmethod
    def concat(cls, parts: Sequence[Cells]) -> Cells:
        """Join cells end to end; `coarser` puts them in order and makes one of equal ones."""
        names = ("device", "start_us", "n", "low_g", "high_g", "total")
        if not parts:
            return cells_of(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 3), np.float32), WIDTHS_US[0])
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, index: Any) -> Cells:
        """Return the cells that `index` (mask, positions or slice) selects."""
        return Cells(
            self.device[index], self.start_us[index], self.n[index],
            self.low_g[index], self.high_g[index], self.total[index],
        )  # fmt: skip


def cells_of(device: npt.NDArray[Any], time_us: Ints, accel_g: Floats, width_us: int) -> Cells:
    """Return the cells of samples in any order; samples that are not finite on every axis are left out.

    Parameters
    ----------
    device
        (S,) index per sample.
    time_us
        (S,) microseconds since the epoch.
    accel_g
        (S, 3) g.
    width_us
        Width of a cell.

    Examples
    --------
    >>> cells = cells_of(np.zeros(3), np.array([0, 5, 10]), np.array([[1, 0, 0], [3, 0, 0], [2, 0, 0]], np.float32), 10)
    >>> cells.start_us.tolist(), cells.n.tolist(), cells.high_g[:, 0].tolist(), cells.mean_g[:, 0].tolist()
    ([0, 10], [2, 1], [3.0, 2.0], [2.0, 2.0])
    """
    good = np.isfinite(accel_g).all(axis=1)
    if not good.all():
        device, time_us, accel_g = device[good], time_us[good], accel_g[good]
    counts = np.rint(np.clip(accel_g.astype(np.float64), -LIMIT_G, LIMIT_G) * PER_G).astype(np.int64)
    single = Cells(
        device.astype(np.int64), time_us, np.ones(len(time_us), np.int64), accel_g, accel_g, counts
    )  # fmt: skip
    return coarser(single, width_us)


def coarser(cells: Cells, width_us: int) -> Cells:
    """Return the cells of a width that the cells' own width divides; cells in any order, equal ones made one."""
    start_us = cells.start_us // width_us * width_us
    steps = np.diff(cells.device), np.diff(start_us)
    if np.any(steps[0] < 0) or np.any((steps[0] == 0) & (steps[1] < 0)):
        order = np.lexsort((start_us, cells.device))
        cells, start_us = cells.take(order), start_us[order]
        steps = np.diff(cells.device), np.diff(start_us)
    first = np.flatnonzero(np.concatenate([[len(cells) > 0], (steps[0] != 0) | (steps[1] != 0)]))
    if not len(first):
        return cells
    return Cells(
        cells.device[first],
        start_us[first],
        np.add.reduceat(cells.n, first),
        np.minimum.reduceat(cells.low_g, first),
        np.maximum.reduceat(cells.high_g, first),
        np.add.reduceat(cells.total, first),
    )


def stored_widths(rate_hz: float) -> tuple[int, ...]:
    """Return the widths kept for a recording of a rate, ascending; the widest always is.

    >>> stored_widths(100.0), stored_widths(16_000.0)[0], stored_widths(1.0)
    ((1000000, 10000000, 60000000), 10000, (60000000,))
    """
    return tuple(
        width for width in WIDTHS_US if width * rate_hz >= MIN_SAMPLES * 1e6 or width == WIDTHS_US[-1]
    )  # fmt: skip


def point_width_us(first_us: int, end_us: int, max_points: int, width_us: int) -> int:
    """Return the least multiple of `width_us` of which at most `max_points` cover [first, end).

    >>> point_width_us(0, 86_400_000_000, 2_000, 10_000_000)
    50000000
    """
    multiple = max(1, -(-(end_us - first_us) // (max_points * width_us)))
    while (end_us - 1) // (multiple * width_us) - first_us // (multiple * width_us) >= max_points:
        multiple += 1
    return multiple * width_us
