"""The glitch filter as it is described, in whole arrays: what the compiled one is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.glitches import MAD_TO_SIGMA, MIN_RATE_HZ, GlitchParams
from wearables_platform.signals.segments import Segments


def glitches_removed(
    accel_g: NDArray[np.float64], rate_hz: NDArray[np.float64], segments: Segments, params: GlitchParams
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the cleaned samples, and which of them were replaced."""
    cleaned, glitch = accel_g.copy(), np.zeros(len(accel_g), dtype=np.bool_)
    for rate in np.unique(rate_hz[rate_hz >= MIN_RATE_HZ]):
        k = params.neighbours(float(rate))
        at = np.flatnonzero((rate_hz == rate) & (segments.last - segments.first >= 2 * k))
        values, hit = _hampel_at(accel_g, at, segments, k, params.n, params.floor_g)
        hit &= ~_is_movement(accel_g, at, hit, segments, params, float(rate))[:, None]
        cleaned[at] = np.where(hit, values, accel_g[at])
        glitch[at] = hit.any(axis=1)
    return cleaned, glitch


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
