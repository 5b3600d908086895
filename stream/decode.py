"""One fetch to columns: what is well formed goes on, what is not becomes a dead letter, with its place in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.kafka import Fetch
from wearables_platform.domain.channels import ACCELERATION, Channel
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.domain.time_policy import impossible_times
from wearables_platform.wire.codec import DEFAULT_MAX_PAYLOAD_BYTES, accel_values_g, decode
from wearables_platform.wire.raw_rates import at_platform_rate
from wearables_platform.wire.samples import message_spans_us

STAGE: Final = "decode"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DeadLetter:
    """A record that cannot be processed: where it lies, why, and its bytes."""

    offset: int
    reason: str
    detail: str
    payload: bytes


@dataclass(frozen=True)
class Messages:
    """Messages of one partition in log order, R of them; everything but `rows` is (R,) int64.

    Attributes
    ----------
    rows
        Decoded columns; acceleration sent at the sensor's rate is reduced to the platform's.
    offset
        Position in the log.
    append_us, log_us
        When the log took the message, and the partition's log time at it: the latest append time up to there.
    start_us, end_us
        What the message covers, the end exclusive; for messages without samples both are its time.
    """

    rows: pa.RecordBatch
    offset: Ints
    append_us: Ints
    log_us: Ints
    start_us: Ints
    end_us: Ints

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.offset)

    def take(self, index: Ints) -> Messages:
        """Return the messages at these places."""
        columns = (self.offset, self.append_us, self.log_us, self.start_us, self.end_us)
        return Messages(self.rows.take(pa.array(index)), *(column[index] for column in columns))

    def int64(self, name: str) -> Ints:
        """Return a column of `rows` as int64."""
        values: Ints = self.rows.column(name).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
        return values


@dataclass(frozen=True)
class DecodedFetch:
    """A fetch taken apart: `messages`, dead letters and quarantined positions are disjoint and together all of it."""

    messages: Messages
    dead_letters: tuple[DeadLetter, ...]
    quarantined: Ints
    log_us: int


def decode_fetch(
    channel: Channel, fetch: Fetch, log_us: int, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
) -> DecodedFetch:
    """Decode a fetch; `log_us` is the partition's log time before it. Never raises for what a record holds."""
    decoded = decode(channel, fetch.payloads, max_payload_bytes=max_payload_bytes)
    dead = [_dead(fetch, bad.position, bad.reason, bad.detail) for bad in decoded.rejected]
    rows, index = decoded.rows, decoded.index
    genuine = _key_is_device(fetch, rows, index)
    for i in np.flatnonzero(~genuine):
        said = rows.column("device_id")[int(i)].as_py()
        dead.append(_dead(fetch, int(index[i]), DeadLetterReason.FORGED_ID, f"payload says {said}"))
    log_times_us = np.maximum.accumulate(np.concatenate(([log_us], fetch.append_us)))[1:]
    start_us = rows.column("start_time_us").to_numpy()
    believable = ~impossible_times(start_us, fetch.append_us[index])
    if fetch.verdicts:
        believable &= ~np.isin(index, list(fetch.verdicts))
    good = genuine & believable
    if not good.all():
        rows = rows.filter(pa.array(good))
    kept = index[good]
    if channel is ACCELERATION:
        rows = at_platform_rate(rows)
    return DecodedFetch(
        Messages(rows, fetch.offsets[kept], fetch.append_us[kept], log_times_us[kept], *_spans(channel, rows)),
        tuple(sorted(dead, key=lambda letter: letter.offset)),
        fetch.offsets[index[genuine & ~believable]],
        int(log_times_us[-1]) if len(fetch) else log_us,
    )


def _dead(fetch: Fetch, position: int, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(int(fetch.offsets[position]), str(reason), detail, fetch.payloads[position])


def _key_is_device(fetch: Fetch, rows: pa.RecordBatch, index: Ints) -> npt.NDArray[np.bool_]:
    keys = pa.array(fetch.keys, pa.binary())
    if len(index) != len(fetch):
        keys = keys.take(pa.array(index))
    same = pc.fill_null(pc.equal(keys, rows.column("device_id").cast(pa.binary())), False)
    return np.asarray(same.to_numpy(zero_copy_only=False), bool)


def _spans(channel: Channel, rows: pa.RecordBatch) -> tuple[Ints, Ints]:
    if channel is ACCELERATION:
        return message_spans_us(rows, accel_values_g(rows)[1])
    start_us: Ints = rows.column("start_time_us").to_numpy()
    return start_us, start_us
