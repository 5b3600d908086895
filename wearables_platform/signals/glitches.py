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
    whole = Segments(np.zeros(len(x), dtype=np.int64), np.full(len(x), len(x) - 1, dtype=np.int64))
    columns = x.reshape(len(x), -1)
    marks, out = flagged.reshape(columns.shape), cleaned.reshape(columns.shape)
    at = np.flatnonzero(_candidates(columns, whole, floor_g, k))
    values, hit = _hampel_at(columns, at, whole, k, n, floor_g)
    marks[at] = hit
    out[at] = np.where(hit, values, columns[at])
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
    cleaned, glitch = accel_g.copy(), np.zeros(len(accel_g), dtype=np.bool_)
    rates = np.unique(rate_hz[np.flatnonzero(segments.first == np.arange(len(rate_hz)))])
    rates = rates[rates >= MIN_RATE_HZ]
    if not len(rates):
        return cleaned, glitch
    candidates = np.flatnonzero(_candidates(accel_g, segments, params.floor_g, params.neighbours(float(rates[-1]))))
    for rate in rates:
        k = params.neighbours(float(rate))
        long_enough = segments.last[candidates] - segments.first[candidates] >= 2 * k
        at = candidates[long_enough & (rate_hz[candidates] == rate)]
        values, hit = _hampel_at(accel_g, at, segments, k, params.n, params.floor_g)
        hit &= ~_is_movement(accel_g, at, hit, segments, params, float(rate))[:, None]
        cleaned[at] = np.where(hit, values, accel_g[at])
        glitch[at] = hit.any(axis=1)
    return cleaned, glitch


def _candidates(x: NDArray[np.float64], segments: Segments, floor_g: float, k: int) -> NDArray[np.bool_]:
    """Mark samples that the identifier could flag: a cheap test that never misses one.

    If the nearest half of the k neighbours on each side lies within the floor of a value, then so does more
    than half of the window, and with it the median.
    """
    far = np.zeros(len(x), dtype=np.bool_)
    _mark_far(plain(x, segments.first, segments.last), floor_g, (k + 1) // 2, far)
    return far


@compiled
def _mark_far(samples: Any, floor_g: float, reach: int, far: Any) -> None:
    x, first, last = samples
    for i in range(len(x)):
        low, high = max(i - reach, first[i]), min(i + reach, last[i])  # a mirrored neighbour is one of these, too
        for k in range(low, high + 1):
            for axis in range(x.shape[1]):
                if not abs(x[k, axis] - x[i, axis]) <= floor_g:
                    far[i] = True


def _reflect(index: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fold positions outside a segment back into it, as a mirror at its first and last sample."""
    folded = np.where(index < first, 2 * first - index, index)
    folded = np.where(folded > last, 2 * last - folded, folded)
    return np.clip(folded, first, last)


def _windows(at: NDArray[np.intp], segments: Segments, half: int) -> NDArray[np.int64]:
    index = at[:, None] + np.arange(-half, half + 1)
    return _reflect(index, segments.first[at][:, None], segments.last[at][:, None])


def _median_middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middle value along axis 1 of an odd number of values: exact, whatever the layout."""
    middle = values.shape[1] // 2
    return np.asarray(np.partition(values, middle, axis=1)[:, middle])


def _hampel_at(
    x: NDArray[np.float64], at: NDArray[np.intp], segments: Segments, k: int, n: float, floor_g: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the medians around the positions `at`, and which values lie too far from them."""
    window = x[_windows(at, segments, k)]
    median = _median_middle(window)
    spread = _median_middle(np.abs(window - median[:, None]))
    limit = np.maximum(n * MAD_TO_SIGMA * spread, floor_g)
    return median, np.abs(x[at] - median) > limit


def _is_movement(
    x: NDArray[np.float64],
    at: NDArray[np.intp],
    hit: NDArray[np.bool_],
    segments: Segments,
    params: GlitchParams,
    rate_hz: float,
) -> NDArray[np.bool_]:
    """Tell which deviating samples belong to a deviation wide and gradual enough for a movement.

    The width is measured along the direction of the deviation from a calm baseline (a median over twice
    the window, which a movement of `movement_ms` cannot reach), so that noise on a quiet axis has no say.
    """
    movement = np.zeros(len(at), dtype=np.bool_)
    chosen = np.flatnonzero(hit.any(axis=1))
    centre = at[chosen]
    width, half = params.movement_samples(rate_hz), 2 * params.neighbours(rate_hz)
    baseline = _median_middle(x[_windows(centre, segments, half)])
    along = _deviation_along(x, centre, baseline, segments, width)
    top = along[:, 1:-1].max(axis=1)
    length = _run_through_centre(along >= params.shoulder * top[:, None])
    second = np.sort(along[:, 1:-1], axis=1)[:, -2]
    movement[chosen] = (length >= width) & (second >= params.rise * top)
    return movement


def _deviation_along(
    x: NDArray[np.float64], centre: NDArray[np.intp], baseline: NDArray[np.float64], segments: Segments, width: int
) -> NDArray[np.float64]:
    """Return deviations from the baseline, along the centre's own, of 2 width + 1 samples; outside: -inf."""
    raw = centre[:, None] + np.arange(-width, width + 1)
    first, last = segments.first[centre][:, None], segments.last[centre][:, None]
    deviation = x[np.clip(raw, first, last)] - baseline[:, None]
    direction = deviation[:, width]
    along = sum(deviation[:, :, axis] * direction[:, axis, None] for axis in range(x.shape[1]))
    return np.where((raw < first) | (raw > last), -np.inf, along)


def _run_through_centre(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many samples in a row, with the centre one, are inside; 0 where the centre is not."""
    centre = inside.shape[1] // 2
    right = np.logical_and.accumulate(inside[:, centre:], axis=1).sum(axis=1)
    left = np.logical_and.accumulate(inside[:, centre::-1], axis=1).sum(axis=1)
    return np.asarray(np.where(inside[:, centre], left + right - 1, 0))
