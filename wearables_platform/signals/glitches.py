"""Glitches: samples one or two wide that no movement makes, found and replaced.

The Hampel identifier finds samples far from the median of their neighbours; their width in milliseconds
decides whether they are a glitch or the top of a short movement.

References
----------
F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974).
R. K. Pearson et al., "Generalized Hampel filters", EURASIP J. Adv. Signal Process. 2016:87.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.motion import any_axis
from wearables_platform.signals.segments import Segments

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation of normal noise, times this, is its standard deviation."""

MIN_RATE_HZ = 25.0
"""Below this one sample lasts 40 ms or more, and a glitch cannot be told from a movement."""


@dataclass(frozen=True)
class GlitchParams:
    """Settings of the glitch filter.

    Attributes
    ----------
    k : int
        Neighbours on each side of a sample at 100 Hz or less; above, as many as make `movement_ms`.
    n : float
        Robust standard deviations that a sample may lie from the median.
    floor_g : float
        Smallest deviation that counts. Without it quiet data (MAD 0) flag every bit flip.
    movement_ms : float
        A deviation at least this wide is a movement and stays untouched.
    shoulder : float
        Share of the top that a neighbour must reach to belong to the same deviation. Of a half sine of
        30 ms averaged over 10 ms, the larger outer sample is never below 0.155 of the top.
    rise : float
        Share of the top that the second largest sample of a movement reaches. Half sines of 30 ms at 100 Hz: 0.5 to
        1; of 60 ms at 50 Hz the same. A one-sample spike in real movement stays below.
    """

    k: int = 3
    n: float = 3.0
    floor_g: float = 0.3
    movement_ms: float = 30.0
    shoulder: float = 0.12
    rise: float = 0.25

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing, naming them."""
        if self.k < 1 or self.n <= 0 or self.floor_g <= 0 or self.movement_ms <= 0:
            msg = f"k, n, floor_g and movement_ms must be positive, got {self}"
            raise ValueError(msg)

    def movement_samples(self, rate_hz: float) -> int:
        """Return the samples that make a movement at `rate_hz`; never fewer than two.

        Examples
        --------
        >>> [GlitchParams().movement_samples(rate) for rate in (32.0, 50.0, 100.0, 104.3, 405.0)]
        [2, 2, 3, 3, 12]
        """
        return max(2, round(self.movement_ms * rate_hz / 1000))

    def neighbours(self, rate_hz: float) -> int:
        """Return the half width of the median's window, in samples."""
        return max(self.k, self.movement_samples(rate_hz))


def hampel(
    x: NDArray[np.float64], k: int = 3, n: float = 3.0, floor_g: float = 0.3
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Apply the plain Hampel identifier to one continuous series, or to each column.

    Parameters
    ----------
    x : (N,) or (N, C) float64, g
    k : int
        Neighbours on each side. The ends are continued by reflection.
    n, floor_g : float
        A sample is flagged if it lies more than max(n * 1.4826 * MAD, floor_g) from the median.

    Returns
    -------
    cleaned : as x
        Flagged samples replaced by the median of their window.
    flagged : bool, as x

    Notes
    -----
    Looks k samples ahead. Series shorter than 2 k + 1 are returned as they are.

    Examples
    --------
    >>> cleaned, flagged = hampel(np.array([1.0, 1, 1, 9, 1, 1, 1, 1]))
    >>> cleaned.tolist(), np.flatnonzero(flagged).tolist()
    ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [3])
    """
    flagged = np.zeros(x.shape, dtype=np.bool_)
    cleaned = x.copy()
    if len(x) < 2 * k + 1:
        return cleaned, flagged
    whole = np.zeros(len(x), dtype=np.int64), np.full(len(x), len(x) - 1, dtype=np.int64)
    columns = plain(x.reshape(len(x), -1), *whole, np.ones(len(x)))
    out = cleaned.reshape(columns[0].shape), flagged.reshape(columns[0].shape)
    _replace(columns, (1.0, k, 0), (floor_g, n * MAD_TO_SIGMA, 0.0, 0.0), out)
    return cleaned, flagged


def remove_glitches(
    accel_g: NDArray[np.float64],
    rate_hz: NDArray[np.float64],
    segments: Segments,
    params: GlitchParams | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Replace glitches in a table of samples, leaving movements as they are.

    Parameters
    ----------
    accel_g : (S, 3) float64, g
    rate_hz : (S,) float64
        Constant inside a segment.
    segments : Segments
        Neighbours are taken from the same segment only, reflected at its ends.
    params : GlitchParams, optional

    Returns
    -------
    cleaned : (S, 3) float64, g
        Axes that deviate are replaced by the median of their neighbours.
    glitch : (S,) bool
        Samples of which at least one axis was replaced.

    Notes
    -----
    A sample depends on 2 k neighbours on each side: 60 ms at 100 Hz, and at most
    0.4 s (25 Hz, jittered stamps). Segments shorter than the window, and rates below `MIN_RATE_HZ`, pass unfiltered.
    """
    params = params or GlitchParams()
    cleaned, replaced = accel_g.copy(), np.zeros(accel_g.shape, dtype=np.bool_)
    rates = np.unique(rate_hz[np.flatnonzero(segments.first == np.arange(len(rate_hz)))])
    samples = plain(accel_g, segments.first, segments.last, rate_hz)
    levels = params.floor_g, params.n * MAD_TO_SIGMA, params.shoulder, params.rise
    for rate in rates[rates >= MIN_RATE_HZ].tolist():
        spans = rate, params.neighbours(rate), params.movement_samples(rate)
        _replace(samples, spans, levels, (cleaned, replaced))
    return cleaned, any_axis(replaced)


@compiled
def _replace(samples: Any, spans: Any, levels: Any, out: Any) -> None:
    """Replace, axis by axis, what lies too far from the median of 2 k + 1 samples and is no movement.

    `width` is the samples of a movement; 0: nothing is one.
    """
    x, first, last, rate_hz = samples
    at_rate_hz, k, width = spans
    floor_g, sigmas, shoulder, rise = levels
    cleaned, replaced = out
    columns = x.shape[1]
    hit, median = np.zeros(columns, np.bool_), np.zeros(columns)
    ordered = np.empty(max(2 * k + 1, 4 * k + 1 if width else 1))
    along = np.empty(2 * width + 1)
    for i in range(len(x)):
        run = first[i], last[i]
        if rate_hz[i] != at_rate_hz or run[1] - run[0] < 2 * k or _near_ones_agree(x, i, run, (k + 1) // 2, floor_g):
            continue
        if not _deviates(x, i, run, (k, floor_g, sigmas), ordered, (hit, median)):
            continue
        if width and _is_movement(x, i, run, (k, width), (shoulder, rise), ordered, along):
            continue
        for axis in range(columns):
            if hit[axis]:
                cleaned[i, axis], replaced[i, axis] = median[axis], True


@compiled
def _near_ones_agree(x: Any, i: int, run: Any, reach: int, floor_g: float) -> bool:
    """Tell at little cost that more than half of a sample's window, and with it the median, is within the floor."""
    apart = False
    for at in range(max(i - reach, run[0]), min(i + reach, run[1]) + 1):  # a mirrored neighbour is one of these, too
        for axis in range(x.shape[1]):
            if not abs(x[at, axis] - x[i, axis]) <= floor_g:
                apart = True
    return not apart


@compiled
def _deviates(x: Any, i: int, run: Any, limits: Any, ordered: Any, out: Any) -> bool:
    """Find the axes that lie too far from their medians, and these; returns whether there is any."""
    k, floor_g, sigmas = limits
    hit, median = out
    any_hit = False
    for axis in range(x.shape[1]):
        _put_in_order(x, axis, i, run, k, ordered)
        median[axis] = ordered[k]
        away_g = abs(x[i, axis] - median[axis])
        hit[axis] = away_g > floor_g and away_g > sigmas * _spread(ordered, k)
        any_hit = any_hit or hit[axis]
    return any_hit


@compiled
def _mirrored(at: int, run: Any) -> int:
    """Fold a position outside a segment back into it, as a mirror at its first and last sample."""
    first, last = run
    if at < first:
        at = 2 * first - at
    if at > last:
        at = 2 * last - at
    return int(max(at, first))


@compiled
def _put_in_order(x: Any, axis: int, i: int, run: Any, half: int, ordered: Any) -> None:
    """Put the values up to `half` samples away into ascending order."""
    if half == 3 and i - half >= run[0] and i + half <= run[1]:  # nearly always
        _put_seven_in_order(x, axis, i, ordered)
        return
    for number in range(2 * half + 1):
        value = x[_mirrored(i + number - half, run), axis]
        place = number
        while place > 0 and ordered[place - 1] > value:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = value


@compiled
def _pair(a: float, b: float) -> tuple[float, float]:
    return (b if b < a else a), (a if b < a else b)


@compiled
def _put_seven_in_order(x: Any, axis: int, i: int, ordered: Any) -> None:
    """Sort by a network of 16 comparisons without a branch: a processor cannot guess which way restless values go."""
    a, b, c, d = x[i - 3, axis], x[i - 2, axis], x[i - 1, axis], x[i, axis]
    e, f, g = x[i + 1, axis], x[i + 2, axis], x[i + 3, axis]
    (a, g), (c, d), (e, f) = _pair(a, g), _pair(c, d), _pair(e, f)
    (a, c), (b, e), (d, g) = _pair(a, c), _pair(b, e), _pair(d, g)
    (a, b), (c, f), (d, e) = _pair(a, b), _pair(c, f), _pair(d, e)
    (b, c), (e, g) = _pair(b, c), _pair(e, g)
    (c, d), (e, f) = _pair(c, d), _pair(e, f)
    (b, c), (d, e), (f, g) = _pair(b, c), _pair(d, e), _pair(f, g)
    ordered[0], ordered[1], ordered[2], ordered[3], ordered[4], ordered[5], ordered[6] = a, b, c, d, e, f, g


@compiled
def _spread(ordered: Any, k: int) -> float:
    """Return the median distance of 2 k + 1 ascending values from the middle one: k of them lie nearer, or as near."""
    low, high, distance = k - 1, k + 1, 0.0
    for _ in range(k):
        below, above = ordered[k] - ordered[low], ordered[high] - ordered[k]
        left = 1 if below <= above else 0
        distance = below if left else above
        low, high = low - left, high + 1 - left
    return distance


@compiled
def _is_movement(x: Any, i: int, run: Any, spans: Any, shares: Any, ordered: Any, along: Any) -> bool:
    """Tell whether a deviating sample belongs to a deviation wide and gradual enough for a movement.

    The width is measured along the direction of the deviation from a calm baseline (a median over twice
    the window, which a movement of `width` samples cannot reach), so that noise on a quiet axis has no say.
    """
    (first, last), (k, width), (shoulder, rise) = run, spans, shares
    along[:] = 0.0
    for axis in range(x.shape[1]):
        _put_in_order(x, axis, i, run, 2 * k, ordered)
        baseline = ordered[2 * k]
        direction = x[i, axis] - baseline
        for number in range(2 * width + 1):
            at = min(max(i + number - width, first), last)
            along[number] += (x[at, axis] - baseline) * direction
    top, second = -np.inf, -np.inf
    for number in range(2 * width + 1):
        if not first <= i + number - width <= last:
            along[number] = -np.inf
        elif 0 < number < 2 * width:
            second = max(second, min(top, along[number]))
            top = max(top, along[number])
    if second < rise * top or along[width] < shoulder * top:
        return False
    length, left, right = 1, width - 1, width + 1
    while left >= 0 and along[left] >= shoulder * top:
        left, length = left - 1, length + 1
    while right <= 2 * width and along[right] >= shoulder * top:
        right, length = right + 1, length + 1
    return bool(length >= width)
