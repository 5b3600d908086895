"""From the sensor's rate to the platform's: glitches out, blocks reduced, what averaging hides kept.

`step(state, chunk)` takes chunks of any length and returns whole blocks of 100 ms as soon as they are
certain; `finish` returns the rest. States are immutable values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CLIP_SHARE
from wearables_platform.signals.decimate import block_mean, fir_decimate, fir_reach
from wearables_platform.signals.glitches import MAD_TO_SIGMA
from wearables_platform.signals.source_blocks import SourceFilter, scan_blocks

Samples = NDArray[np.float32]

PIECE_SAMPLES = 192_000
"""Samples (of all devices) reduced at a time, so that the temporary arrays stay in the cache."""


@dataclass(frozen=True)
class DownsamplePlan:
    """What happens to a source; built by `plan`.

    Attributes
    ----------
    source_rate_hz, rate_hz : float
        Rate of the sensor, and the true rate of the output: `source_rate_hz / factor`.
    factor : int
        Source samples per output sample; 1 passes samples through untouched.
    per_block : int
        Output samples per block of (nearly) 100 ms.
    method : "mean" or "fir"
    k, n, floor_g :
        Glitch filter at the source's rate: a Hampel identifier whose window (7 samples of the block) is shorter than
        any movement of 30 ms from 240 Hz up. Wider glitches show at the output's rate, and are removed there.
    range_g : float
        Range of the sensor; samples at `CLIP_SHARE` of it are counted as clipped.
    """

    source_rate_hz: float
    rate_hz: float
    factor: int
    per_block: int
    method: Literal["mean", "fir"] = "mean"
    k: int = 3
    n: float = 3.0
    floor_g: float = 0.3
    range_g: float = 16.0

    @property
    def block_samples(self) -> int:
        """Source samples per block."""
        return self.factor * self.per_block

    @property
    def filters(self) -> bool:
        """Whether samples are filtered and reduced at all."""
        return self.factor > 1

    @property
    def reach(self) -> int:
        """Source samples on either side of a block that decide its output: none, or whole blocks for the FIR filter."""
        if not self.filters or self.method == "mean":
            return 0
        return -(-fir_reach(self.factor) // self.per_block) * self.block_samples

    @property
    def glitch_filter(self) -> SourceFilter | None:
        """The filter at the source's rate, for sources that are reduced."""
        return SourceFilter(self.k, self.n * MAD_TO_SIGMA, self.floor_g) if self.filters else None


@dataclass(frozen=True)
class DownsampleState:
    """Source samples not yet reduced, after those that are context of the next block.

    Attributes
    ----------
    raw_g : (D, P, 3) float32
    lead : int
        How many of them precede the next block: `reach`, none at the start of the recording.
    """

    raw_g: Samples
    lead: int = 0


@dataclass(frozen=True)
class Blocks:
    """Reduced samples and, per block of 100 ms, what the reduction hides; n = b * per_block.

    Attributes
    ----------
    accel_g : (D, n, 3) float32
    peak_raw_g : (D, b) float32
        Largest vector magnitude at the source's rate, before the glitch filter.
    peak_g : (D, b) float32
        The same after the glitch filter; NaN where samples passed through, and none ran.
    glitches, clipped : (D, b) int32
        Source samples of which an axis was replaced, or reached the end of the range.
    """

    accel_g: Samples
    peak_raw_g: Samples
    peak_g: Samples
    glitches: NDArray[np.int32]
    clipped: NDArray[np.int32]

    @classmethod
    def concat(cls, parts: Sequence[Blocks], axis: int = 1) -> Blocks:
        """Join blocks in time, or devices (axis 0)."""
        names = ("accel_g", "peak_raw_g", "peak_g", "glitches", "clipped")
        return cls(*(np.concatenate([getattr(part, name) for part in parts], axis=axis) for name in names))


def plan(
    source_rate_hz: float,
    target_rate_hz: float = 100.0,
    *,
    block_ms: float = 100.0,
    method: Literal["mean", "fir"] = "mean",
    range_g: float = 16.0,
) -> DownsamplePlan:
    """Choose the whole factor that brings a source nearest above the target rate.

    Rates below twice the target pass through untouched (104.3 Hz stays 104.3 Hz); 405 Hz becomes 101.25 Hz: the
    output's rate is stated, never rounded.

    Examples
    --------
    >>> [(p.factor, p.rate_hz, p.per_block) for p in map(plan, (16_000.0, 405.0, 104.3, 32.0))]
    [(160, 100.0, 10), (4, 101.25, 10), (1, 104.3, 10), (1, 32.0, 3)]
    """
    if not (np.isfinite(source_rate_hz) and source_rate_hz > 0 and target_rate_hz > 0 and block_ms > 0):
        msg = f"rates and block_ms must be positive, got {source_rate_hz}, {target_rate_hz} and {block_ms}"
        raise ValueError(msg)
    if method not in ("mean", "fir"):
        msg = f"method must be 'mean' or 'fir', got {method!r}"
        raise ValueError(msg)
    factor = max(1, int(source_rate_hz / target_rate_hz + 1e-9))
    rate_hz = source_rate_hz / factor
    per_block = max(1, round(rate_hz * block_ms / 1000))
    return DownsamplePlan(source_rate_hz, rate_hz, factor, per_block, method=method, range_g=range_g)


def start(devices: int = 1) -> DownsampleState:
    """Return the state before the first sample of `devices` devices that share their timing."""
    return DownsampleState(np.empty((devices, 0, 3), dtype=np.float32))


def step(the_plan: DownsamplePlan, state: DownsampleState, chunk_g: Samples) -> tuple[DownsampleState, Blocks]:
    """Reduce the next samples.

    Parameters
    ----------
    the_plan : DownsamplePlan
    state : DownsampleState
    chunk_g : (D, T, 3) float32, g
        Continues the samples before it; after a gap, `finish` and `start` anew.

    Returns
    -------
    state : DownsampleState
    blocks : Blocks
        Every block whose samples and `reach` have arrived, perhaps none.

    Notes
    -----
    Bits do not depend on how the samples are cut into chunks (method "mean"; "fir": to 1e-6 g).
    """
    chunk_g = chunk_g.astype(np.float32, copy=False)
    raw_g = np.concatenate([state.raw_g, chunk_g], axis=1) if state.raw_g.shape[1] else chunk_g
    whole = max(0, raw_g.shape[1] - state.lead - the_plan.reach) // the_plan.block_samples
    if whole == 0:
        return replace(state, raw_g=raw_g.copy()), _no_blocks(len(raw_g))
    blocks = _reduce(the_plan, raw_g, state.lead, whole * the_plan.block_samples)
    done = state.lead + whole * the_plan.block_samples
    keep = max(0, done - the_plan.reach)
    return DownsampleState(raw_g[:, keep:].copy(), done - keep), blocks


def finish(the_plan: DownsamplePlan, state: DownsampleState) -> Blocks:
    """Return what is left, the last block perhaps shorter; source samples short of one output are dropped."""
    left = state.raw_g.shape[1] - state.lead
    usable = left // the_plan.factor * the_plan.factor
    if not usable:
        return _no_blocks(len(state.raw_g))
    return _reduce(the_plan, state.raw_g[:, : state.lead + usable], state.lead, usable)


def downsample(the_plan: DownsamplePlan, accel_g: Samples) -> Blocks:
    """Reduce a whole recording (D, T, 3) at once."""
    state, blocks = step(the_plan, start(len(accel_g)), accel_g)
    return Blocks.concat([blocks, finish(the_plan, state)])


@cache
def warm_up() -> None:
    """Load the compiled kernels, or compile them where none are kept: before measuring, where a stall loses samples."""
    accel_g = np.zeros((1, 1_600, 3), dtype=np.float32)
    accel_g[0, 800] = 5.0  # a glitch, so that every kernel has something to do
    downsample(plan(16_000.0), accel_g)


def _no_blocks(devices: int) -> Blocks:
    real, count = np.empty((devices, 0), dtype=np.float32), np.empty((devices, 0), dtype=np.int32)
    return Blocks(np.empty((devices, 0, 3), dtype=np.float32), real, real, count, count)


def _reduce(the_plan: DownsamplePlan, raw_g: Samples, lead: int, length: int) -> Blocks:
    """Reduce `length` samples that start at `lead`, piece by piece."""
    devices_at_once = max(1, PIECE_SAMPLES // the_plan.block_samples)
    if len(raw_g) > devices_at_once:
        shares = (raw_g[low : low + devices_at_once] for low in range(0, len(raw_g), devices_at_once))
        return Blocks.concat([_reduce(the_plan, share, lead, length) for share in shares], axis=0)
    blocks_at_once = max(1, PIECE_SAMPLES // (len(raw_g) * the_plan.block_samples))
    stride = blocks_at_once * the_plan.block_samples
    pieces = []
    for begin in range(lead, lead + length, stride):
        end = min(begin + stride, lead + length)
        low, high = max(0, begin - the_plan.reach), min(raw_g.shape[1], end + the_plan.reach)
        pieces.append(_reduce_piece(the_plan, raw_g[:, low:high], begin - low, end - begin))
    return Blocks.concat(pieces)


def _reduce_piece(the_plan: DownsamplePlan, raw_g: Samples, lead: int, length: int) -> Blocks:
    """Reduce `length` samples after `lead` samples of context; both `raw_g` and they begin with a block."""
    found = scan_blocks(raw_g, the_plan.block_samples, CLIP_SHARE * the_plan.range_g, the_plan.glitch_filter)
    first = lead // the_plan.block_samples
    inside = slice(first, first - (-length // the_plan.block_samples))
    peak_raw_g, peak_g = found.peak_raw_g[:, inside], found.peak_g[:, inside]
    glitches, clipped = found.glitches[:, inside], found.clipped[:, inside]
    if not the_plan.filters:
        accel_g = raw_g[:, lead : lead + length].copy()
        return Blocks(accel_g, peak_raw_g, np.full_like(peak_raw_g, np.nan), glitches, clipped)
    return Blocks(_resample(the_plan, found.accel_g, lead, length), peak_raw_g, peak_g, glitches, clipped)


def _resample(the_plan: DownsamplePlan, cleaned_g: Samples, lead: int, length: int) -> Samples:
    if the_plan.method == "mean":
        return block_mean(cleaned_g[:, lead : lead + length], the_plan.factor).astype(np.float32)
    context = fir_reach(the_plan.factor) * the_plan.factor
    low, high = max(0, lead - context), min(cleaned_g.shape[1], lead + length + context)
    before, after = context - (lead - low), context - (high - lead - length)
    held = cleaned_g[:, low:high]
    if before or after:
        held = np.pad(held, ((0, 0), (before, after), (0, 0)), mode="edge")
    return fir_decimate(held, the_plan.factor)
