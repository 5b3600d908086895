"""One pass through a device's samples, window by window: tallies, quality bits, the grid of steps, the posture.

What a window needs of the seconds before it is one record per device: the last sample that spoke, since when the sensor
has repeated it, and the posture of that second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CleanSamples
from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.overlaps import WINDOW_US, Seconds
from wearables_platform.signals.segments import CONTINUITY_LIMIT_US, GAP_PERIODS, STAMP_TOLERANCE_US

GRID_US: Final = 40_000
"""Grid of 25 Hz: bins start at whole multiples of 40 ms since the Unix epoch, so 25 fill a UTC second."""

BINS: Final = 25
"""Bins of a window."""

MIN_GRID_RATE_HZ: Final = 10.0
"""Below this a step has too few samples for a peak."""

MIN_POSTURE_SAMPLES: Final = 5
"""Fewer samples in a second say nothing of the posture."""

NEVER_US: Final = -(2**62)

LAST_DTYPE: Final = np.dtype(
    [
        ("time_us", np.int64),  # of the last sample that spoke; NEVER_US before the first
        ("since_us", np.int64),  # when the run of its exact value began
        ("boot", np.int64),
        ("rate_hz", np.float64),
        ("segment", np.int32),
        ("x_g", np.float32),  # as it came
        ("y_g", np.float32),
        ("z_g", np.float32),
        ("posture_g", np.float32, (3,)),  # median of its second after cleaning; NaN of too few samples
        ("stepped", np.uint8),
    ],
)

_GAP: Final = int(QualityFlag.GAP)
_STUCK: Final = int(QualityFlag.STUCK)
_CLOCK_STEP: Final = int(QualityFlag.CLOCK_STEP)
_REBOOT: Final = int(QualityFlag.REBOOT)
_LARGEST: Final = 2**31 - 1


def nothing_before(devices: int) -> NDArray[np.void]:
    """Return the record of devices that have not sent anything."""
    last = np.zeros(devices, LAST_DTYPE)
    last["time_us"] = last["since_us"] = NEVER_US
    last["posture_g"] = np.nan
    return last


@dataclass(frozen=True)
class Walked:
    """What the pass found for R windows.

    Attributes
    ----------
    glitches, clipped : (R,) int64
    rate_hz : (R,) float64
        Of the window's first sample; NaN without samples.
    peak_raw_g, peak_g : (R,) float64
        Largest of the blocks that begin in the window; NaN where none was measured.
    flags : (R,) int32
    grid_g : (R, 25) float32
        Mean vector magnitude of each bin; NaN where it has no sample.
    fresh : (R,) uint32
        Bit i is set where bin i does not continue the sample before it.
    """

    glitches: NDArray[np.int64]
    clipped: NDArray[np.int64]
    rate_hz: NDArray[np.float64]
    peak_raw_g: NDArray[np.float64]
    peak_g: NDArray[np.float64]
    flags: NDArray[np.int32]
    grid_g: NDArray[np.float32]
    fresh: NDArray[np.uint32]

    @classmethod
    def blank(cls, rows: int) -> Walked:
        """Return room for so many windows."""
        nan = np.full(rows, np.nan)
        return cls(
            glitches=np.zeros(rows, np.int64),
            clipped=np.zeros(rows, np.int64),
            rate_hz=nan,
            peak_raw_g=nan.copy(),
            peak_g=nan.copy(),
            flags=np.full(rows, _GAP, np.int32),
            grid_g=np.full((rows, BINS), np.nan, np.float32),
            fresh=np.zeros(rows, np.uint32),
        )


def walk(last: NDArray[np.void], cleaned: CleanSamples, seconds: Seconds, stuck_s: float) -> Walked:
    """Go through the windows' samples in order; `last` (D,) goes forward with them."""
    found, table = Walked.blank(len(seconds)), cleaned.table
    _walk(
        last,
        plain(seconds.device, seconds.start_us, seconds.first, seconds.index),
        plain(table.time_us, table.boot, table.segment, table.rate_hz, table.accel_g),
        plain(cleaned.vm_g, cleaned.flags, cleaned.glitch, cleaned.clipped),
        plain(table.glitches, table.clipped, table.peak_raw_g, table.peak_g),
        (found.glitches, found.clipped, found.rate_hz, found.peak_raw_g, found.peak_g, found.flags),
        (found.grid_g, found.fresh),
        stuck_s * 1e6,
    )
    return found


def postures_before(last: NDArray[np.void], seconds: Seconds, gravity_g: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the posture in the second before each window, NaN where it is not known; `last` takes the newest.

    Parameters
    ----------
    last : (D,) LAST_DTYPE
        As it stood before `walk` goes through the same windows.
    gravity_g : (R, 3) float64
        Median of each axis in each window.
    """
    before = np.full((len(seconds), 3), np.nan, np.float32)
    own = np.where((seconds.counts >= MIN_POSTURE_SAMPLES)[:, None], gravity_g, np.nan).astype(np.float32)
    same = (np.diff(seconds.device) == 0) & (np.diff(seconds.start_us) == WINDOW_US)
    before[1:][same] = own[:-1][same]
    opens = np.flatnonzero(np.diff(seconds.device, prepend=-1))
    known = last[seconds.device[opens]]
    adjoins = known["time_us"] // WINDOW_US * WINDOW_US == seconds.start_us[opens] - WINDOW_US
    before[opens[adjoins]] = known["posture_g"][adjoins]
    filled = np.flatnonzero(seconds.counts)
    newest = filled[np.diff(seconds.device[filled], append=-1) != 0]
    last["posture_g"][seconds.device[newest]] = own[newest]
    return before


@compiled
def _walk(  # noqa: C901 (one compiled loop)
    last: Any, windows: Any, came: Any, clean: Any, blocks: Any, tallies: Any, others: Any, stuck_us: float
) -> None:
    device, start_us, first, index = windows
    time_us, boot, segment, rate_hz, raw_g = came
    vm_g, sample_flags, glitch, clipped = clean
    block_glitches, block_clipped, block_peak_raw_g, block_peak_g = blocks
    glitches_out, clipped_out, rate_out, peak_raw_out, peak_out, flags_out = tallies
    grid_out, fresh_out = others
    sums, counts = np.zeros(BINS), np.zeros(BINS)
    for row in range(len(device)):
        d, begin, end = device[row], first[row], first[row + 1]
        before = last[d]
        if begin == end:
            continue
        for bin_ in range(BINS):
            sums[bin_], counts[bin_] = 0.0, 0.0
        flags, fresh, edge_us = 0, np.uint32(0), start_us[row]
        n_glitches, n_clipped = 0, 0
        peak_raw, peak = -np.inf, -np.inf
        rate_out[row] = rate_hz[index[begin]]
        was_us, was_boot, was_segment, was_rate = before.time_us, before.boot, before.segment, before.rate_hz
        was_x, was_y, was_z, was_stepped = before.x_g, before.y_g, before.z_g, before.stepped != 0
        since_us = before.since_us
        for k in range(begin, end):
            i = index[k]
            now_us, rate = time_us[i], rate_hz[i]
            x, y, z = raw_g[i, 0], raw_g[i, 1], raw_g[i, 2]
            limit_us = GAP_PERIODS * 1e6 / rate + STAMP_TOLERANCE_US
            if now_us - edge_us > limit_us:
                flags |= _GAP
            edge_us = now_us
            own = sample_flags[i]
            stepped = (own & _CLOCK_STEP) != 0
            near = was_us != NEVER_US and now_us - was_us <= WINDOW_US
            if near and boot[i] != was_boot:
                flags |= _REBOOT
            if near and boot[i] == was_boot and segment[i] != was_segment:
                flags |= _CLOCK_STEP
            opens = (
                was_us == NEVER_US
                or boot[i] != was_boot
                or segment[i] != was_segment
                or rate != was_rate
                or (stepped and not was_stepped)
            )
            follows = not opens and now_us - was_us <= min(limit_us, CONTINUITY_LIMIT_US)
            if follows and x == was_x and y == was_y and z == was_z:
                if now_us - since_us + 1e6 / rate >= stuck_us:
                    flags |= _STUCK
            else:
                since_us = now_us
            if x == 0.0 and y == 0.0 and z == 0.0:
                flags |= _STUCK
            flags |= own
            n_glitches += block_glitches[i] + (1 if glitch[i] else 0)
            n_clipped += block_clipped[i] + (1 if clipped[i] else 0)
            if block_peak_raw_g[i] > peak_raw:
                peak_raw = block_peak_raw_g[i]
            if block_peak_g[i] > peak:
                peak = block_peak_g[i]
            if rate >= MIN_GRID_RATE_HZ:
                bin_ = (now_us - start_us[row]) // GRID_US
                sums[bin_] += vm_g[i]
                counts[bin_] += 1.0
                if opens:
                    fresh |= np.uint32(1 << bin_)
            was_us, was_boot, was_segment, was_rate, was_stepped = now_us, boot[i], segment[i], rate, stepped
            was_x, was_y, was_z = x, y, z
        if start_us[row] + WINDOW_US - was_us <= GAP_PERIODS * 1e6 / was_rate + STAMP_TOLERANCE_US:
            flags_out[row] = flags
        else:
            flags_out[row] = flags | _GAP
        glitches_out[row], clipped_out[row] = min(n_glitches, _LARGEST), min(n_clipped, _LARGEST)
        if peak_raw > -np.inf:
            peak_raw_out[row] = peak_raw
        if peak > -np.inf:
            peak_out[row] = peak
        for bin_ in range(BINS):
            if counts[bin_] > 0.0:
                grid_out[row, bin_] = sums[bin_] / counts[bin_]
        fresh_out[row] = fresh
        before.time_us, before.boot, before.segment, before.rate_hz = was_us, was_boot, was_segment, was_rate
        before.x_g, before.y_g, before.z_g, before.stepped = was_x, was_y, was_z, 1 if was_stepped else 0
        before.since_us = since_us
