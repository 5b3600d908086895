"""From samples as sent to samples as used: finite, continuous, without glitches, flagged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.glitches import MIN_RATE_HZ, GlitchParams, remove_glitches
from wearables_platform.signals.motion import any_axis, every_axis, vector_magnitude_g
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import (
    CONTINUITY_LIMIT_US,
    Segments,
    continuity_breaks,
    gap_limit_us,
    segments_from_breaks,
)

CLIP_SHARE = 0.99
"""Share of the range from which a sensor counts as clipped: its own offset and gain eat the rest."""

JUMP_SPAN_S = 0.010
"""A change is measured over this span, or over one period where that is longer."""


@dataclass(frozen=True)
class CleanParams:
    """Settings of the cleaning stage.

    Attributes
    ----------
    glitch : GlitchParams
    range_g : float
        Range of the sensor; most watches are set to 8 or 16 g.
    stuck_s : float
        One exact value for this long is a stuck sensor.
    jump_g : float
        Change of an axis over `JUMP_SPAN_S` that no limb makes; scaled by the true span between the samples.
    """

    glitch: GlitchParams = field(default_factory=GlitchParams)
    range_g: float = 16.0
    stuck_s: float = 1.0
    jump_g: float = 8.0

    def __post_init__(self) -> None:
        """Refuse a range or change that is not positive, and a span that outruns the halo."""
        if self.range_g <= 0 or self.jump_g <= 0 or not 0 < self.stuck_s <= 1.0:
            msg = f"range_g and jump_g must be positive and stuck_s in (0, 1], got {self}"
            raise ValueError(msg)


@dataclass(frozen=True)
class CleanSamples:
    """The finite samples of a table after cleaning; S' of the table's S samples.

    Attributes
    ----------
    table : SampleTable
        The finite samples as they came.
    accel_g : (S', 3) float64
    vm_g : (S',) float64
    breaks : (S',) bool
        Samples that do not continue the one before.
    segments : Segments
    glitch, clipped : (S',) bool
    flags : (S',) int32
        The table's bits and those found here.
    """

    table: SampleTable
    accel_g: NDArray[np.float64]
    vm_g: NDArray[np.float64]
    breaks: NDArray[np.bool_]
    segments: Segments
    glitch: NDArray[np.bool_]
    clipped: NDArray[np.bool_]
    flags: NDArray[np.int32]


def finite_rows(samples: SampleTable) -> NDArray[np.bool_]:
    """Mark samples whose three axes are finite and whose rate is positive."""
    return np.asarray(every_axis(np.isfinite(samples.accel_g)) & (samples.rate_hz > 0) & np.isfinite(samples.rate_hz))


def clean(samples: SampleTable, params: CleanParams | None = None) -> CleanSamples:
    """Clean a table of samples.

    Parameters
    ----------
    samples : SampleTable
        Sorted by (device, boot, segment, time): series are cleaned before it is known which of them speaks.
    params : CleanParams, optional

    Returns
    -------
    CleanSamples
        Without the samples that are not finite; their absence breaks continuity like any gap.

    Notes
    -----
    A sample depends on `clean_reach_us` on either side, in its own series. Clipped, jumping and out-of-range samples
    are flagged and kept: only glitches are replaced. Flags tell of the samples as they came: a replaced glitch of 9 g
    is also a jump; a jump that is no glitch was too wide for one, and stays. What needs more of the past (a stuck
    sensor, a reboot) is found when the samples are walked through, window by window.
    """
    params = params or CleanParams()
    finite = finite_rows(samples)
    table = samples if finite.all() else samples.take(finite)
    breaks = continuity_breaks(table)
    segments = segments_from_breaks(breaks)
    accel_g, glitch = remove_glitches(table.accel_g.astype(np.float64), table.rate_hz, segments, params.glitch)
    size_g = np.abs(table.accel_g)
    reach_g = np.maximum(np.maximum(size_g[:, 0], size_g[:, 1]), size_g[:, 2])
    clipped = reach_g >= CLIP_SHARE * params.range_g
    found = {
        QualityFlag.GLITCH: glitch | (table.glitches > 0),
        QualityFlag.CLIPPED: clipped | (table.clipped > 0),
        QualityFlag.OUT_OF_RANGE: reach_g > params.range_g,
        QualityFlag.JUMP: jump_samples(table, reach_g, segments, params.jump_g),
    }
    flags = table.flags.copy()
    for bit, marked in found.items():
        flags[marked] |= int(bit)
    return CleanSamples(table, accel_g, vector_magnitude_g(accel_g), breaks, segments, glitch, clipped, flags)


def jump_samples(
    table: SampleTable, reach_g: NDArray[np.float32], segments: Segments, jump_g: float
) -> NDArray[np.bool_]:
    """Mark samples of which an axis differs by more than `jump_g` per `JUMP_SPAN_S` from the sample that long before.

    Parameters
    ----------
    reach_g : (S,) float32
        Largest absolute value of the axes: a change needs a large value on one side of it.
    segments : Segments
        The sample before is of the same run. Below 100 Hz it is the one before, and the limit grows with the period.
    """
    mark = np.zeros(len(table), dtype=np.bool_)
    loud = np.flatnonzero(reach_g > jump_g / 3)  # half of the least limit: 2/3 of `jump_g`, at one and a half spans
    if not len(loud):
        return mark
    after = loud + _jump_lag(table.rate_hz[loud])
    at = np.unique(np.concatenate([loud, after[after < len(table)]]))
    rate_hz = table.rate_hz[at]
    before = at - _jump_lag(rate_hz)
    limit_g = jump_g * _jump_lag(rate_hz) / (rate_hz * JUMP_SPAN_S)
    change_g = np.abs(table.accel_g[at] - table.accel_g[np.maximum(before, 0)])
    mark[at] = (before >= segments.first[at]) & any_axis(change_g > limit_g[:, None])
    return mark


def _jump_lag(rate_hz: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.maximum(1, np.rint(rate_hz * JUMP_SPAN_S)).astype(np.int64)


def clean_reach_us(rate_hz: float, params: GlitchParams | None = None) -> int:
    """Return how far from a sample, at most, lies what its cleaning and its neighbours' look at.

    Twice the half width of the glitch filter and one sample more, each step as long as continuity allows; never more
    than `CONTINUITY_LIMIT_US`, which jittered stamps could only exceed above 2 kHz, where no message has any.

    Examples
    --------
    >>> [clean_reach_us(rate_hz) // 1000 for rate_hz in (10.0, 25.0, 100.0, 16_000.0)]
    [152, 434, 119, 450]
    """
    params = params or GlitchParams()
    samples = 2 * params.neighbours(rate_hz) + 1 if rate_hz >= MIN_RATE_HZ else 1
    step_us = float(gap_limit_us(np.array([rate_hz]))[0])
    return int(min(samples * step_us, CONTINUITY_LIMIT_US))
