"""Trends of a short series of days: how steep (Theil-Sen), and whether at all (Mann-Kendall)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
CONFIDENCE: Final = 0.95
# 1.4826 * the median absolute deviation is the standard deviation of normally distributed values.
_MAD_TO_SD: Final = 1.4826


class Slope(NamedTuple):
    """A slope per unit of time, and the ends of its confidence interval."""

    value: float
    low: float
    high: float


class Monotone(NamedTuple):
    """Outcome of the Mann-Kendall test: score S, Kendall's tau-b, standard score, two-sided p."""

    score: int
    tau: float
    z: float
    p: float


def theil_sen(at: Floats, values: Floats) -> Slope:
    """Return the median of the slopes between all pairs of points, with its 95 % interval.

    Parameters
    ----------
    at : (N,) float64
        Distinct times, N >= 2, in any unit; the slope is per that unit.
    values : (N,) float64
        Finite values.

    Raises
    ------
    ValueError
        If there are fewer than two points or times repeat.

    References
    ----------
    Sen 1968, J Am Stat Assoc 63:1379; computed by `scipy.stats.theilslopes`.

    >>> theil_sen(np.arange(5.0), np.array([1.0, 3.0, 5.0, 7.0, 90.0])).value
    2.0
    """
    if len(at) < 2 or len(np.unique(at)) != len(at):
        msg = f"a slope needs at least two points at distinct times, got {len(at)}"
        raise ValueError(msg)
    found = stats.theilslopes(values, at, CONFIDENCE)
    return Slope(float(found.slope), float(found.low_slope), float(found.high_slope))


def mann_kendall(values: Floats) -> Monotone:
    """Test whether values in order of time rise or fall together with time; equal values are allowed for.

    The score is the number of pairs that rise minus the number that fall. Its variance is that of Kendall 1975 with
    ties, the standard score is corrected for continuity, p is two-sided from the normal distribution (fair from ten
    values up). Where all values are equal no pair says anything: tau 0, p 1.

    Parameters
    ----------
    values : (N,) float64
        Finite values in order of time, N >= 2.

    Raises
    ------
    ValueError
        If there are fewer than two values.

    References
    ----------
    Mann 1945, Econometrica 13:245; Kendall 1975, Rank Correlation Methods.

    >>> mann_kendall(np.array([1.0, 2.0, 3.0, 4.0])).score
    6
    """
    n = len(values)
    if n < 2:
        msg = f"a trend needs at least two values, got {n}"
        raise ValueError(msg)
    before, after = np.triu_indices(n, 1)
    score = int(np.sign(values[after] - values[before]).sum())
    _, tied = np.unique(values, return_counts=True)
    pairs, tied_pairs = n * (n - 1) / 2, float((tied * (tied - 1) / 2).sum())
    if tied_pairs == pairs:
        return Monotone(0, 0.0, 0.0, 1.0)
    variance = (n * (n - 1) * (2 * n + 5) - float((tied * (tied - 1) * (2 * tied + 5)).sum())) / 18
    z = float((score - np.sign(score)) / np.sqrt(variance))
    tau = float(score / np.sqrt(pairs * (pairs - tied_pairs)))
    return Monotone(score, tau, z, float(2 * stats.norm.sf(abs(z))))


def robust_z(value: float, usual: Floats) -> float:
    """Return how many robust standard deviations (1.4826 MAD) a value is from the median; NaN where all are equal.

    >>> robust_z(9.0, np.array([1.0, 2.0, 3.0, 4.0, 5.0])).__round__(3)
    4.047
    """
    middle = float(np.median(usual))
    spread = _MAD_TO_SD * float(np.median(np.abs(usual - middle)))
    return (value - middle) / spread if spread > 0 else float("nan")
