"""From samples as sent to samples as used: finite, continuous, without glitches, flagged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.glitches import GlitchParams, remove_glitches
from wearables_platform.signals.motion import any_axis, every_axis, vector_magnitude_g
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import Segments, continuity_breaks, segments_from_breaks

CLIP_SHARE = 0.99
"""Share of the range from which a sensor counts as clipped: its own offset and gain eat the rest."""


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
    """

    glitch: GlitchParams = field(default_factory=GlitchParams)
    range_g: float = 16.0
    stuck_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a range or span that is not positive, or one that outruns the halo."""
        if self.range_g <= 0 or not 0 < self.stuck_s <= 1.0:
            msg = f"range_g must be positive and stuck_s in (0, 1], got {self.range_g} and {self.stuck_s}"
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
        Sorted by (device, time).
    params : CleanParams, optional

    Returns
    -------
    CleanSamples
        Without the samples that are not finite; their absence breaks continuity like any gap.

    Notes
    -----
    A sample depends on at most 1 s on each side (stuck sensors; the glitch filter needs 0.4 s).
    Clipped, stuck and out-of-range samples are flagged and kept: only glitches are replaced.
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
        QualityFlag.STUCK: stuck_samples(table, breaks, params.stuck_s),
        QualityFlag.REBOOT: rebooted(table),
    }
    flags = table.flags.copy()
    for bit, marked in found.items():
        flags[marked] |= int(bit)
    return CleanSamples(table, accel_g, vector_magnitude_g(accel_g), breaks, segments, glitch, clipped, flags)


def stuck_samples(table: SampleTable, breaks: NDArray[np.bool_], stuck_s: float) -> NDArray[np.bool_]:
    """Mark samples in a run of one exact value lasting `stuck_s`, and samples that are exactly zero.

    A run's length counts the period of its last sample. Quantised sensors at perfect rest repeat
    values too: the bit says what was seen, not why.
    """
    size = len(table)
    changed = breaks.copy()
    changed[1:] |= any_axis(table.accel_g[1:] != table.accel_g[:-1])
    runs = segments_from_breaks(changed)
    span_us = table.time_us[runs.last] - table.time_us[runs.first] + 1e6 / table.rate_hz
    long = (span_us >= stuck_s * 1e6) & (runs.last > runs.first) if size else np.zeros(0, dtype=np.bool_)
    return np.asarray(long | every_axis(table.accel_g == 0))


def rebooted(table: SampleTable) -> NDArray[np.bool_]:
    """Mark the first sample of a boot that follows another boot of the same device within a second.

    A boot after a longer pause has no samples of the old boot in the halo: its window carries `GAP`.
    """
    mark = np.zeros(len(table), dtype=np.bool_)
    same_device = np.diff(table.device) == 0
    mark[1:] = same_device & (np.diff(table.boot) != 0) & (np.diff(table.time_us) <= 1_000_000)
    return mark
