"""Blocks of 100 ms at the sensor's rate: their largest magnitude, what is clipped, and their glitches mended.

A block is a function of its own samples: whoever holds it whole, the device that sampled it or the stream that was
sent it raw, gets the same bits. Compiled, because at 16 kHz the passes of array expressions over memory cost more than
the filter that follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.compiled import kept

Samples = NDArray[np.float32]
Counts = NDArray[np.int32]

STRIDE = 64
"""Samples looked over at once for a jump."""

SURE = np.float32(1 - 1e-5)
"""Share of the floor within which a difference in float32 is within the floor in float64 too."""

_INFINITE = np.int32(0x7F80_0000)
"""Bits of infinity as a whole number: those of finite numbers that are not negative lie below, in the same order."""


@dataclass(frozen=True)
class SourceFilter:
    """A Hampel identifier for samples of which a glitch spans one or two.

    Attributes
    ----------
    k : int
        The median is that of the 2 k + 1 samples of the block nearest to a sample; shorter blocks pass unfiltered.
    spread : float
        Median absolute deviations that a sample may lie from the median.
    floor_g : float
        Smallest deviation that counts.
    jump_g : float
        A glitch has a larger step than this between two neighbours within (k + 1) / 2 samples of it. Without one
        so many samples lie within the floor that, inside a block, the median does too.
    """

    k: int
    spread: float
    floor_g: float

    @property
    def jump_g(self) -> float:
        """Return the least step, see above."""
        return self.floor_g / ((self.k + 1) // 2)


@dataclass(frozen=True)
class SourceBlocks:
    """Mended samples (D, T, 3) and, per block (D, b), what `downsample.Blocks` tells of it."""

    accel_g: Samples
    peak_raw_g: Samples
    peak_g: Samples
    glitches: Counts
    clipped: Counts


def scan_blocks(accel_g: Samples, block: int, clip_g: float, params: SourceFilter | None) -> SourceBlocks:
    """Look through whole recordings, or pieces of them, that begin with a block.

    Parameters
    ----------
    accel_g : (D, T, 3) float32, g
        Not changed.
    block : int
        Samples per block; the last may be shorter.
    clip_g : float
        From here a sample counts as clipped; only blocks with a finite peak as high are looked into.
    params : SourceFilter, optional
        Without it nothing is mended.

    Returns
    -------
    SourceBlocks
        With `accel_g` itself where nothing was mended.
    """
    accel_g = np.ascontiguousarray(accel_g)
    shape = len(accel_g), -(-accel_g.shape[1] // block)
    peak_raw_g, clipped, jumps = np.empty(shape, np.float32), np.zeros(shape, np.int32), np.zeros(shape, np.bool_)
    jump_g = np.float32(params.jump_g if params else np.inf)
    flat_g = accel_g.reshape(len(accel_g), -1)
    _scan(flat_g, block, np.float32(clip_g), jump_g, peak_raw_g, clipped, jumps)
    glitches = np.zeros(shape, np.int32)
    if params is None or not jumps.any():
        return SourceBlocks(accel_g, peak_raw_g, peak_raw_g, glitches, clipped)
    mended_g, peak_g = flat_g.copy(), peak_raw_g.copy()
    _mend(flat_g, block, params.k, params.spread, params.floor_g, jump_g, jumps, mended_g, peak_g, glitches)
    return SourceBlocks(
        mended_g.reshape(accel_g.shape) if glitches.any() else accel_g, peak_raw_g, peak_g, glitches, clipped
    )


@partial(kept, nogil=True)
def _scan(flat_g, block, clip_g, jump_g, peak_g, clipped, jumps):  # type: ignore[no-untyped-def]
    """Fill peaks, clipped counts, and whether a block holds a step over `jump_g`."""
    square = np.empty(block, np.float32)
    for device in range(flat_g.shape[0]):
        for number in range(peak_g.shape[1]):
            held = flat_g[device, 3 * block * number : 3 * block * (number + 1)]
            peak_g[device, number] = _peak(held, square)
            jumps[device, number] = _jumps_in(held, 0, len(held) // 3 - 1, jump_g)
            if peak_g[device, number] >= clip_g:
                for i in range(len(held) // 3):
                    reach = max(abs(held[3 * i]), abs(held[3 * i + 1]), abs(held[3 * i + 2]))
                    clipped[device, number] += reach >= clip_g


@partial(kept, nogil=True)
def _peak(held, square):  # type: ignore[no-untyped-def]
    """Return the largest finite magnitude; compared as whole numbers, which vectorises and sees what is not finite."""
    size = len(held) // 3
    for i in range(size):
        square[i] = held[3 * i] * held[3 * i] + held[3 * i + 1] * held[3 * i + 1] + held[3 * i + 2] * held[3 * i + 2]
    bits = square.view(np.int32)
    top = np.int32(0)
    for i in range(size):
        top = max(top, bits[i])
    if top >= _INFINITE:
        top = np.int32(0)
        for i in range(size):
            top = max(top, bits[i] if bits[i] < _INFINITE else np.int32(0))
    square.view(np.int32)[0] = top
    return np.sqrt(square[0])


@partial(kept, nogil=True)
def _jumps_in(held, first, last, jump_g):  # type: ignore[no-untyped-def]
    """Tell whether any of the steps that begin at samples [first, last) is larger; counting all vectorises.

    Slices are walked from 0: an index that might be negative is looked at one by one.
    """
    before, after = held[3 * first : 3 * last], held[3 * first + 3 : 3 * last + 3]
    over = 0
    for i in range(len(before)):
        over += not (abs(after[i] - before[i]) <= jump_g)
    return over > 0


@partial(kept, nogil=True)
def _mend(flat_g, block, k, spread, floor_g, jump_g, jumps, mended_g, peak_g, glitches):  # type: ignore[no-untyped-def]
    """Replace the glitches of the blocks that hold a jump; fill the peaks after it and the counts."""
    ranked, square, close = np.empty(2 * k + 1), np.empty(block, np.float32), np.empty(3 * block, np.int32)
    for device, number in np.argwhere(jumps):
        part = slice(3 * block * number, 3 * block * (number + 1))
        held, mended = flat_g[device, part], mended_g[device, part]
        size = len(held) // 3
        if size < 2 * k + 1:
            continue
        busy = 0
        for first in range(0, size - 1, STRIDE):
            busy += _jumps_in(held, first, min(first + STRIDE, size - 1), jump_g)
        # A few knocks are looked for one by one; noise that jumps everywhere is better counted through at once.
        if 4 * busy * STRIDE < size:
            glitches[device, number] = _mend_at_jumps(held, mended, k, spread, floor_g, jump_g, ranked)
        else:
            glitches[device, number] = _mend_all(held, mended, k, spread, floor_g, jump_g, ranked, close)
        if glitches[device, number]:
            peak_g[device, number] = _peak(mended, square)


@partial(kept, nogil=True)
def _mend_at_jumps(held, mended, k, spread, floor_g, jump_g, ranked):  # type: ignore[no-untyped-def]
    """Judge the samples near each jump; returns how many were replaced."""
    size, reach, fresh, replaced = len(held) // 3, (k + 1) // 2, 0, 0  # samples before `fresh` have been judged
    for first in range(0, size - 1, STRIDE):
        last = min(first + STRIDE, size - 1)
        if not _jumps_in(held, first, last, jump_g):
            continue
        for step in range(first, last):
            if _jumps_in(held, step, step + 1, jump_g):
                for at in range(max(fresh, step + 1 - reach), min(size, step + reach + 1)):
                    replaced += _judge(held, mended, at, k, spread, floor_g, ranked)
                fresh = min(size, step + reach + 1)
    return replaced


@partial(kept, nogil=True)
def _mend_all(held, mended, k, spread, floor_g, jump_g, ranked, close):  # type: ignore[no-untyped-def]
    """Judge the samples that too few of their neighbours agree with: the same ones, found otherwise."""
    size, reach, replaced = len(held) // 3, (k + 1) // 2, 0
    _count_close(held, k, np.float32(floor_g) * SURE, close)
    few = _any_below(close[3 * k : 3 * (size - k)], k)
    for at in range(size):
        if k <= at < size - k:
            if not few or min(close[3 * at], close[3 * at + 1], close[3 * at + 2]) >= k:
                continue  # with itself more than half of the window: so is the median
        elif not _jumps_in(held, max(at - reach, 0), min(at + reach, size - 1), jump_g):
            continue
        replaced += _judge(held, mended, at, k, spread, floor_g, ranked)
    return replaced


@partial(kept, nogil=True)
def _count_close(held, k, sure_g, close):  # type: ignore[no-untyped-def]
    """Count for each value the k on either side that surely lie within the floor; not where the block cuts them."""
    begin, end = 3 * k, len(held) - 3 * k
    inner, counted = held[begin:end], close[begin:end]
    counted[:] = 0
    for offset in range(3, 3 * k + 1, 3):
        before, after = held[begin - offset : end - offset], held[begin + offset : end + offset]
        for i in range(len(inner)):
            counted[i] += np.int32(abs(before[i] - inner[i]) <= sure_g) + np.int32(abs(after[i] - inner[i]) <= sure_g)


@partial(kept, nogil=True)
def _any_below(counts, least):  # type: ignore[no-untyped-def]
    """Tell whether any count is less; counting all vectorises."""
    below = 0
    for i in range(len(counts)):
        below += counts[i] < least
    return below > 0


@partial(kept, nogil=True)
def _judge(held, mended, at, k, spread, floor_g, ranked):  # type: ignore[no-untyped-def]
    """Replace the axes of a sample that lie too far from their medians; tell whether there were any."""
    low = min(max(at - k, 0), len(held) // 3 - 2 * k - 1)
    hit = False
    for axis in range(3):
        near = held[3 * low + axis : 3 * (low + 2 * k + 1) : 3]
        if _agrees(near, held[3 * at + axis], floor_g):
            continue
        median = _rank_middle(near, 0.0, False, ranked)
        limit = max(spread * _rank_middle(near, median, True, ranked), floor_g)
        if not (abs(held[3 * at + axis] - median) <= limit):
            mended[3 * at + axis] = median
            hit = True
    return hit


@partial(kept, nogil=True)
def _agrees(near, value, floor_g):  # type: ignore[no-untyped-def]
    """Tell whether more than half of the values lie within the floor of one of them, and so does the median."""
    close = 0
    for i in range(len(near)):
        close += abs(float(near[i]) - float(value)) <= floor_g
    return close > len(near) // 2


@partial(kept, nogil=True)
def _rank_middle(values, origin, distances, ranked):  # type: ignore[no-untyped-def]
    """Return the middle of the values, or of their distances from an origin; what is no number ranks last."""
    for i in range(len(values)):
        value = float(values[i])
        if distances:
            value = abs(value - origin)
        j = i
        while j > 0 and (ranked[j - 1] > value or (np.isnan(ranked[j - 1]) and not np.isnan(value))):
            ranked[j] = ranked[j - 1]
            j -= 1
        ranked[j] = value
    return ranked[len(values) // 2]
