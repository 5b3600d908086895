"""Messages sent at the sensor's own rate become what the thin client would have sent.

A client may leave the reduction to the platform (16 kHz, 19 kB per 100 ms). Both run the same kernel on the same
blocks, and a block is a function of its own samples: stream, batch and device give the same bits for messages of whole
blocks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.signals.downsample import Blocks, DownsamplePlan, downsample, plan
from wearables_platform.wire.codec import accel_values_g
from wearables_platform.wire.v1 import telemetry_pb2 as pb

PLATFORM_RATE_HZ: Final = 100.0
_UNREDUCED: Final = (pb.DOWNSAMPLING_UNSPECIFIED, pb.DOWNSAMPLING_NONE)


def at_platform_rate(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Reduce the messages that came at twice `PLATFORM_RATE_HZ` or more and were not reduced at their source.

    Parameters
    ----------
    rows
        Decoded acceleration messages with the columns of the schema file; more are kept.

    Returns
    -------
    pa.RecordBatch
        As many rows in the same order; `rows` itself where there is nothing to do, so that twice is as once.

    Notes
    -----
    What a message says of its blocks (peaks, counts) is found anew from its samples. Blocks of 100 ms are counted from
    the message's first sample. Samples at its end that are too few for one of 100 Hz are dropped; a message that has
    no more than those becomes one sample, their mean.
    """
    rate_hz = rows.column("rate_hz").to_numpy()
    raw = (rate_hz >= 2 * PLATFORM_RATE_HZ) & np.isin(rows.column("downsampling").to_numpy(), _UNREDUCED)
    if not raw.any():
        return rows
    at = np.flatnonzero(raw)
    chosen = rows if raw.all() else rows.take(pa.array(at))
    accel_g, counts = accel_values_g(chosen)
    first = np.cumsum(counts) - counts
    alike = np.stack([counts, chosen.column("rate_hz").to_numpy(), chosen.column("range_g").to_numpy()])
    kinds, kind_of = np.unique(alike, axis=1, return_inverse=True)
    parts, places = [rows.filter(pa.array(~raw))], [np.flatnonzero(~raw)]
    for kind, (count, rate, range_g) in enumerate(kinds.T.tolist()):
        group = np.flatnonzero(kind_of == kind)
        if len(kinds.T) == 1:  # the common case: one kind of client, and nothing to copy
            samples_g = accel_g.reshape(len(counts), int(count), 3)
        else:
            samples_g = accel_g[first[group][:, None] + np.arange(int(count))]
        the_plan = _plan_for(int(count), rate, range_g)
        mine = chosen if len(kinds.T) == 1 else chosen.take(pa.array(group))
        parts.append(_with_blocks(mine, the_plan, downsample(the_plan, samples_g)))
        places.append(at[group])
    return _in_order(parts, np.concatenate(places))


def _plan_for(count: int, rate_hz: float, range_g: float) -> DownsamplePlan:
    """Return the thin client's plan; a message of fewer samples than make one is a block of its own."""
    the_plan = plan(rate_hz, PLATFORM_RATE_HZ, range_g=range_g or np.inf)
    if count >= the_plan.factor:
        return the_plan
    return replace(the_plan, factor=max(1, count), per_block=1)


def _with_blocks(rows: pa.RecordBatch, the_plan: DownsamplePlan, blocks: Blocks) -> pa.RecordBatch:
    """Replace what the reduction changes in messages of one kind."""
    size = len(rows)
    changed: dict[str, pa.Array] = {
        "rate_hz": _constant(rows, "rate_hz", the_plan.rate_hz),
        "downsampling": _constant(rows, "downsampling", pb.DOWNSAMPLING_BLOCK_MEAN),
        "encoding": _constant(rows, "encoding", pb.SAMPLE_ENCODING_FLOAT32_G),
        "scale_g": _constant(rows, "scale_g", 0.0),
        "block_count": _constant(rows, "block_count", blocks.peak_raw_g.shape[1]),
        "samples": pa.Array.from_buffers(
            pa.binary(),
            size,
            [None, pa.py_buffer(_offsets(size, blocks.accel_g.shape[1] * 12)), pa.py_buffer(_little(blocks.accel_g))],
            null_count=0,
        ),
    }
    for name in ("peak_raw_g", "peak_g", "glitches", "clipped"):
        values: npt.NDArray[Any] = getattr(blocks, name)
        kind = rows.schema.field(name).type
        held = pa.array(values.ravel(), kind.value_type)
        changed[name] = pa.ListArray.from_arrays(_offsets(size, values.shape[1]), held, type=kind)
    columns = [changed.get(name, rows.column(name)) for name in rows.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _constant(rows: pa.RecordBatch, name: str, value: float) -> pa.Array:
    kind = rows.schema.field(name).type
    return pa.repeat(pa.scalar(value, kind), len(rows))


def _offsets(rows: int, step: int) -> npt.NDArray[np.int32]:
    return np.arange(rows + 1, dtype=np.int32) * np.int32(step)


def _little(accel_g: npt.NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(accel_g, "<f4").tobytes()


def _in_order(parts: list[pa.RecordBatch], places: npt.NDArray[np.intp]) -> pa.RecordBatch:
    joined = pa.Table.from_batches(parts).combine_chunks()
    if not np.array_equal(places, np.arange(len(places))):
        joined = joined.take(pa.array(np.argsort(places)))
    (batch,) = joined.combine_chunks().to_batches()
    return batch
