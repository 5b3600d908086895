"""What makes a decoded message valid, as vectorised rules over Arrow columns: one function per message type.

`broken_rule` gives each row the code of the first rule it breaks, 0 where it breaks none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.domain.channels import ACCELERATION, MAX_RATE_HZ, MIN_RATE_HZ, STATUS, VITALS, Channel
from wearables_platform.domain.identity import BOOT_ID_BITS, DEVICE_ID_PATTERN, MAX_SEQUENCE
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.domain.sensor_types import NAME
from wearables_platform.wire.v1 import telemetry_pb2 as pb

MAX_READINGS: Final = 10_000
MAX_VENDOR_FIELDS: Final = 64
MAX_BLOCKS: Final = 3_000  # five minutes of 100 ms blocks
# Instants a datetime can hold (years 1 to 9999): beyond them no calendar, store or SQL type agrees.
_MIN_INSTANT_US: Final = -62_135_596_800_000_000
_MAX_INSTANT_US: Final = 253_402_300_799_999_999

Mask = npt.NDArray[np.bool_]
Rule = tuple[DeadLetterReason, Mask]
# Code 0 means "breaks no rule".
REASONS: Final = (None, *DeadLetterReason)
_CODES: Final = {reason: code for code, reason in enumerate(REASONS)}


def broken_rule(channel: Channel, rows: pa.RecordBatch) -> npt.NDArray[np.int8]:
    """Return (R,) codes into `REASONS`: the first rule each row breaks, 0 for a valid row."""
    codes = np.zeros(rows.num_rows, np.int8)
    if rows.num_rows == 0:
        return codes
    for reason, broken in (*_identity_rules(rows), *_MESSAGE_RULES[channel.name](rows)):
        codes[broken & (codes == 0)] = _CODES[reason]
    return codes


def describe(channel: Channel, rows: pa.RecordBatch, row: int, reason: DeadLetterReason) -> str:
    """Say in one line what is wrong with a row, for the person who reads the dead letter."""
    shown = {
        DeadLetterReason.BAD_DEVICE_ID: ("device_id",),
        DeadLetterReason.BAD_IDENTITY: ("boot_id", "sequence", "start_time_us"),
        DeadLetterReason.BAD_ENCODING: ("encoding", "scale_g"),
        DeadLetterReason.BAD_RATE: ("rate_hz", "source_rate_hz"),
        DeadLetterReason.BAD_BLOCKS: ("block_count",),
    }.get(reason, ())
    values = ", ".join(f"{name}={rows.column(name)[row].as_py()!r}"[:100] for name in shown)
    return f"{channel.message}: {values}" if values else channel.message


def _identity_rules(rows: pa.RecordBatch) -> Iterator[Rule]:
    yield DeadLetterReason.BAD_DEVICE_ID, ~_matches(rows.column("device_id"), DEVICE_ID_PATTERN)
    boot = rows.column("boot_id").to_numpy()
    sequence = rows.column("sequence").to_numpy()
    start = rows.column("start_time_us").to_numpy()
    broken = (boot == 0) | (boot >> np.uint64(BOOT_ID_BITS) != 0) | (sequence > np.uint64(MAX_SEQUENCE))
    yield DeadLetterReason.BAD_IDENTITY, broken | ~_instant(start)


def _acceleration_rules(rows: pa.RecordBatch) -> Iterator[Rule]:
    encoding = rows.column("encoding").to_numpy()
    scale = rows.column("scale_g").to_numpy()
    is_int16 = encoding == pb.SAMPLE_ENCODING_INT16_SCALED
    usable_scale = np.isfinite(scale) & (scale > 0)
    yield DeadLetterReason.BAD_ENCODING, ~((encoding == pb.SAMPLE_ENCODING_FLOAT32_G) | (is_int16 & usable_scale))
    lengths = pc.binary_length(rows.column("samples")).to_numpy()
    triple_bytes = np.where(is_int16, 6, 12)
    yield DeadLetterReason.BAD_SAMPLES, (lengths == 0) | (lengths % triple_bytes != 0)
    rate = rows.column("rate_hz").to_numpy()
    source = rows.column("source_rate_hz").to_numpy()
    in_range = (rate >= MIN_RATE_HZ) & (rate <= MAX_RATE_HZ)  # false for NaN
    yield DeadLetterReason.BAD_RATE, ~in_range | ~np.isfinite(source) | (source < 0)
    yield DeadLetterReason.BAD_BLOCKS, _bad_blocks(rows, lengths // triple_bytes)


def _bad_blocks(rows: pa.RecordBatch, sample_counts: npt.NDArray[np.int64]) -> Mask:
    blocks = np.maximum(rows.column("block_count").to_numpy().astype(np.int64), 1)
    bad: Mask = (blocks > MAX_BLOCKS) | (blocks > np.maximum(sample_counts, 1))
    for name in ("peak_raw_g", "peak_g", "glitches", "clipped"):
        length = pc.list_value_length(rows.column(name)).to_numpy()
        bad |= (length != 0) & (length != blocks)
    return bad


def _vitals_rules(rows: pa.RecordBatch) -> Iterator[Rule]:
    heart_rate, steps, sensors = (rows.column(name) for name in ("heart_rate", "steps", "readings"))
    too_many = np.zeros(rows.num_rows, bool)
    for column in (heart_rate, steps, sensors):
        too_many |= pc.list_value_length(column).to_numpy() > MAX_READINGS
    too_many |= np.array([len(fields) > MAX_VENDOR_FIELDS for fields in rows.column("vendor").to_pylist()], bool)
    yield DeadLetterReason.BAD_READING, too_many
    yield DeadLetterReason.BAD_READING, _any_in_row(heart_rate, ~_instant(_child(heart_rate, "time_us")))
    begin, end = _child(steps, "start_time_us"), _child(steps, "end_time_us")
    yield DeadLetterReason.BAD_READING, _any_in_row(steps, ~_instant(begin) | ~_instant(end) | (end <= begin))
    if len(readings := sensors.flatten()):
        named = _matches(readings.field("sensor"), f"^{NAME}$") & _matches(readings.field("channel"), f"^({NAME})?$")
        yield DeadLetterReason.BAD_READING, _any_in_row(sensors, ~named | ~_instant(_child(sensors, "time_us")))


def _status_rules(rows: pa.RecordBatch) -> Iterator[Rule]:
    battery = rows.column("battery_percent").to_numpy()
    yield DeadLetterReason.BAD_READING, ~((battery == -1) | ((battery >= 0) & (battery <= 100)))


def _matches(texts: pa.Array, pattern: str) -> Mask:
    encoded = pc.dictionary_encode(texts)
    matches = pc.match_substring_regex(encoded.dictionary, pattern=pattern).to_numpy(zero_copy_only=False)
    found: Mask = matches[encoded.indices.to_numpy(zero_copy_only=False)].astype(bool)
    return found


def _instant(time_us: npt.NDArray[np.int64]) -> Mask:
    inside: Mask = (time_us >= _MIN_INSTANT_US) & (time_us <= _MAX_INSTANT_US)
    return inside


def _child(column: pa.Array, field: str) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = column.flatten().field(field).to_numpy(zero_copy_only=False)
    return values


def _any_in_row(column: pa.Array, bad_value: Mask) -> Mask:
    bad = np.zeros(len(column), bool)
    if bad_value.any():
        parents = pc.list_parent_indices(column).to_numpy()
        bad[parents[bad_value]] = True
    return bad


_MESSAGE_RULES: Final[dict[str, Callable[[pa.RecordBatch], Iterator[Rule]]]] = {
    ACCELERATION.name: _acceleration_rules,
    VITALS.name: _vitals_rules,
    STATUS.name: _status_rules,
}
