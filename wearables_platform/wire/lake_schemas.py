"""What the lake's datasets hold: versions, the meaning of every column, and how a column lies in Parquet.

Each Parquet file carries its dataset's version and the meaning and unit of its columns, so that a file alone can be
understood, and a reader that is older than a file says so instead of guessing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import pyarrow as pa

from wearables_platform.errors import StoreRefused
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.wire import sample_columns

ACCELERATION_DATASET: Final = "raw/acceleration"
VITALS_DATASET: Final = "raw/vitals"
STATUS_DATASET: Final = "raw/status"
QUARANTINE_DATASET: Final = "raw/quarantine"
ZOOM_DATASET: Final = "zoom/acceleration"
# As in feature_schema and rule_schema, which compute and so take long to import; a test compares.
WINDOWS_DATASET: Final = "features/windows"
SPIKES_DATASET: Final = "features/spikes"
RULES_DATASET: Final = "features/rules"
WEAR_DATASET: Final = "features/wear"
ROLLING_DATASET: Final = "features/rolling"

VERSION_KEY: Final = b"wearables.schema_version"
DATASET_KEY: Final = b"wearables.dataset"
COLUMNS_KEY: Final = b"wearables.columns"


class Meaning(NamedTuple):
    """What a column holds; units as in UCUM, empty where there is none."""

    text: str
    unit: str = ""


@dataclass(frozen=True)
class LakeSchema:
    """A dataset of the lake.

    Attributes
    ----------
    version
        Grows with every change an older reader would misread.
    columns
        Meaning of every column as it is stored.
    span
        The columns that hold a row's first and last instant.
    to_stored, from_stored
        From the table that code works with to the one that is written, and back.
    made_of
        Columns that exist in memory only, and the stored ones each is made of.
    split_floats
        Write floats as byte streams: smaller, but Spark's fast reader cannot read them.
    """

    dataset: str
    version: int
    columns: Mapping[str, Meaning]
    span: tuple[str, str]
    to_stored: Callable[[pa.Table], pa.Table] = lambda table: table
    from_stored: Callable[[pa.Table], pa.Table] = lambda table: table
    made_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split_floats: bool = False

    def stored_names(self, wanted: Sequence[str], present: Sequence[str]) -> list[str]:
        """Return which columns of a file to read for the wanted ones; an older file may not have all of them."""
        names = [name for each in wanted for name in ((each,) if each in present else self.made_of.get(each, (each,)))]
        return [name for name in dict.fromkeys(names) if name in present]

    def metadata(self, schema: pa.Schema) -> dict[bytes, bytes]:
        """Return what a file of this dataset says about itself."""
        known = {name: self.columns[name] for name in schema.names if name in self.columns}
        described = {name: {"description": found.text, "unit": found.unit} for name, found in known.items()}
        return {
            DATASET_KEY: self.dataset.encode(),
            VERSION_KEY: str(self.version).encode(),
            COLUMNS_KEY: json.dumps(described, sort_keys=True).encode(),
        }

    def require_readable(self, metadata: Mapping[bytes, bytes] | None, path: str) -> None:
        """Refuse a file whose version this code does not know yet.

        Raises
        ------
        StoreRefused
            With one line that says what to do.
        """
        found = int((metadata or {}).get(VERSION_KEY, b"1"))
        if found > self.version:
            msg = (
                f"{path} has version {found} of {self.dataset}, this code reads up to version {self.version}: "
                "update the software that reads the lake"
            )
            raise StoreRefused(msg)


_IDENTITY: Final = {
    "device_id": Meaning("who measured"),
    "boot_id": Meaning("which run of the client: 63 random bits"),
    "sequence": Meaning("position of the message within the boot, from 0"),
    "start_time_us": Meaning("the device's wall clock at the first sample or reading, since 1970, UTC", "us"),
    "start_monotonic_us": Meaning("the device's monotonic clock at the same instant", "us"),
}
_ARCHIVED: Final = {
    "end_time_us": Meaning("the instant after the last one the message speaks of, since 1970, UTC", "us"),
    "message_id": Meaning("identity as text: device:boot:sequence, boot as 16 hexadecimal digits"),
    "append_time_us": Meaning("when the log took the message, since 1970, UTC", "us"),
    "topic": Meaning("the log's topic"),
    "partition": Meaning("the log's partition"),
    "offset": Meaning("position in the log's partition"),
    "payload_sha256": Meaning("SHA-256 of the message exactly as the device sent it"),
}
_ACCELERATION: Final = {
    "rate_hz": Meaning("rate of the samples; sample i was taken at start_time_us + i / rate_hz", "Hz"),
    "encoding": Meaning("how the samples were sent: 1 float32 in g, 2 int16 times scale_g"),
    "scale_g": Meaning("g per count as sent, 0 for float32", "[g]"),
    "step_g": Meaning("g per count of count_x, count_y, count_z; null where the samples are in x_g, y_g, z_g", "[g]"),
    **{f"count_{axis}": Meaning(f"samples of axis {axis} in counts of step_g") for axis in "xyz"},
    **{f"{axis}_g": Meaning(f"samples of axis {axis} that are no multiple of a step", "[g]") for axis in "xyz"},
    "source_rate_hz": Meaning("rate of the sensor before downsampling", "Hz"),
    "downsampling": Meaning("1 none, 2 mean of a block, 3 polyphase filter"),
    "range_g": Meaning("full-scale range of the sensor, 0 = not known", "[g]"),
    "block_count": Meaning("consecutive blocks of 100 ms in the message; the lists below have an entry each"),
    "peak_raw_g": Meaning("largest vector magnitude at the source's rate before glitch removal", "[g]"),
    "peak_g": Meaning("largest vector magnitude at the source's rate after glitch removal", "[g]"),
    "glitches": Meaning("source samples the glitch filter replaced"),
    "clipped": Meaning("source samples at the end of the sensor's range"),
}
_VITALS: Final = {
    "heart_rate": Meaning("readings as sent: time_us since 1970, bpm in beats per minute"),
    "steps": Meaning("counts as sent: start_time_us, end_time_us since 1970, count"),
    "readings": Meaning("numbers of declared sensor types as sent: sensor, channel, time_us since 1970, value"),
    "vendor": Meaning("fields of the vendor's that the schema does not know, as they came"),
}
_STATUS: Final = {
    "battery_percent": Meaning("charge left, -1 = not known", "%"),
    "worn": Meaning("whether the device believes it is worn"),
    "client_version": Meaning("version of the client software"),
    "messages_produced": Meaning("acceleration messages the boot has produced so far"),
    "messages_dropped": Meaning("messages the client had to drop, by reason"),
    "acceleration_boot_id": Meaning("the boot whose acceleration messages are counted"),
    "source_rate_hz": Meaning("rate of the sensor", "Hz"),
    "target_rate_hz": Meaning("rate sent", "Hz"),
    "blocks_per_message": Meaning("blocks of 100 ms in each message"),
    "device_model": Meaning("the maker's model name"),
    "firmware": Meaning("firmware of the device"),
}
_QUARANTINE: Final = {
    "position": Meaning("where the log held the message; the key"),
    "identity": Meaning("identity the message claims"),
    "channel": Meaning("message type"),
    "reason": Meaning("why it is not believed"),
    "detail": Meaning("the reason for a person"),
    "device_id": Meaning("device the message claims"),
    "start_time_us": Meaning("event time the message claims, since 1970, UTC", "us"),
    "append_time_us": Meaning("when the log took the message, since 1970, UTC", "us"),
    "payload": Meaning("the message as it came"),
}
_FEATURE_KEYS: Final = {
    "device_id": Meaning("who measured"),
    "window_start": Meaning("begin of the window or span, UTC"),
    "feature_version": Meaning("version of the code and constants that computed the row"),
}
_SPIKES: Final = {
    "kind": Meaning("kind of event"),
    "started_at": Meaning("first instant of the event, UTC"),
    "duration_ms": Meaning("how long it lasted", "ms"),
    "peak_g": Meaning("largest vector magnitude", "[g]"),
    **{f"direction_{axis}": Meaning(f"direction at the peak, axis {axis}", "1") for axis in "xyz"},
}
_RULES: Final = {
    "kind": Meaning("the rule"),
    "started_at": Meaning("first instant of the event, UTC"),
    "duration_ms": Meaning("how long it lasted", "ms"),
    "extreme_value": Meaning("the value farthest beyond the rule's bound, in the rule's unit"),
}
_WEAR: Final = {
    "seconds": Meaning("one-second rows with samples in the quarter of an hour", "s"),
    "still_axes": Meaning("axes that did not move"),
    "sd_mg": Meaning("standard deviation the decision was made on", "m[g]"),
}
_ROLLING: Final = {
    "span_s": Meaning("length of the span", "s"),
    "seconds": Meaning("one-second rows with samples in the span", "s"),
    "n_samples": Meaning("finite samples in the span", "{samples}"),
    "coverage": Meaning("mean coverage over the span, a second without a row counting 0", "1"),
    "vm_mean_g": Meaning("mean vector magnitude", "[g]"),
    "vm_std_g": Meaning("standard deviation of the vector magnitude (population, pooled)", "[g]"),
    "vm_min_g": Meaning("smallest vector magnitude, rounded to single precision", "[g]"),
    "vm_max_g": Meaning("largest vector magnitude, rounded to single precision", "[g]"),
    "enmo_mg": Meaning("mean of max(VM - 1 g, 0)", "m[g]"),
    "enmo_1s_p95_mg": Meaning("95th percentile of the one-second ENMO, linear between ranks", "m[g]"),
    "mad_1s_mean_mg": Meaning("mean of the one-second MAD, weighted by samples", "m[g]"),
    "steps": Meaning("steps in the span", "{steps}"),
    "cadence_per_min": Meaning("steps per minute of seconds with samples", "{steps}/min"),
}
_ZOOM: Final = {
    "device_id": Meaning("who measured"),
    "width_us": Meaning("width of the cell", "us"),
    "cell_start_us": Meaning("begin of the cell, a multiple of its width since 1970, UTC", "us"),
    "finest_us": Meaning("width of the device's narrowest level that day; below it are the samples", "us"),
    "n": Meaning("samples in the cell"),
    **{f"min_{axis}_g": Meaning(f"least sample of axis {axis}", "[g]") for axis in "xyz"},
    **{f"max_{axis}_g": Meaning(f"greatest sample of axis {axis}", "[g]") for axis in "xyz"},
    **{f"sum_{axis}": Meaning(f"sum of axis {axis} in 2^-20 g; the mean is sum / n / 2^20 g") for axis in "xyz"},
}
_MESSAGE_SPAN: Final = ("start_time_us", "end_time_us")


def _hex_to_bytes(table: pa.Table) -> pa.Table:
    if "payload_sha256" not in table.column_names:
        return table
    at = table.column_names.index("payload_sha256")
    digests = table.column("payload_sha256").combine_chunks()
    if pa.types.is_string(digests.type):
        packed = bytes.fromhex("".join(digests.to_pylist()))
        digests = pa.Array.from_buffers(pa.binary(32), len(digests), [None, pa.py_buffer(packed)])
    return table.set_column(at, pa.field("payload_sha256", digests.type, nullable=False), digests)


def _bytes_to_hex(table: pa.Table) -> pa.Table:
    if "payload_sha256" not in table.column_names:
        return table
    at = table.column_names.index("payload_sha256")
    digests = table.column("payload_sha256")
    if not pa.types.is_string(digests.type):
        digests = pa.array([digest.hex() for digest in digests.to_pylist()], pa.string())
    return table.set_column(at, pa.field("payload_sha256", pa.string(), nullable=False), digests)


SCHEMAS: Final = {
    schema.dataset: schema
    for schema in (
        LakeSchema(
            ACCELERATION_DATASET,
            2,  # 1: samples as interleaved bytes
            _IDENTITY | _ACCELERATION | _ARCHIVED,
            _MESSAGE_SPAN,
            lambda table: sample_columns.split_samples(_hex_to_bytes(table)),
            lambda table: _bytes_to_hex(sample_columns.restore_samples(table)),
            {"samples": ("encoding", *sample_columns.STORED)},
            split_floats=True,
        ),
        LakeSchema(
            VITALS_DATASET,
            3,  # 2: no readings of declared sensor types; 1: the hash as text
            _IDENTITY | _VITALS | _ARCHIVED,
            _MESSAGE_SPAN,
            _hex_to_bytes,
            _bytes_to_hex,
        ),
        LakeSchema(STATUS_DATASET, 2, _IDENTITY | _STATUS | _ARCHIVED, _MESSAGE_SPAN, _hex_to_bytes, _bytes_to_hex),
        LakeSchema(QUARANTINE_DATASET, 1, _QUARANTINE, ("append_time_us", "append_time_us")),
        LakeSchema(
            WINDOWS_DATASET,
            1,
            _FEATURE_KEYS | {column.name: Meaning(column.description, column.unit) for column in FEATURE_COLUMNS},
            ("window_start", "window_start"),
        ),
        LakeSchema(SPIKES_DATASET, 1, _FEATURE_KEYS | _SPIKES, ("started_at", "started_at")),
        LakeSchema(RULES_DATASET, 1, _FEATURE_KEYS | _RULES, ("started_at", "started_at")),
        LakeSchema(WEAR_DATASET, 1, _FEATURE_KEYS | _WEAR, ("window_start", "window_start")),
        LakeSchema(ROLLING_DATASET, 1, _FEATURE_KEYS | _ROLLING, ("window_start", "window_start")),
        LakeSchema(ZOOM_DATASET, 1, _ZOOM, ("cell_start_us", "cell_start_us"), split_floats=True),
    )
}


DATASETS: Final = tuple(SCHEMAS)


def schema_of(dataset: str) -> LakeSchema:
    """Return what is known of a dataset; of an unknown one nothing, at version 1."""
    return SCHEMAS.get(dataset) or LakeSchema(dataset, 1, {}, _MESSAGE_SPAN)


class Columns(NamedTuple):
    """How the leaves of a schema are written: with a dictionary, or in an encoding; and which get statistics."""

    dictionary: list[str]
    encoding: dict[str, str]
    statistics: list[str]


def column_encodings(schema: pa.Schema, counts: str = "DELTA_BINARY_PACKED", *, split_floats: bool = False) -> Columns:
    """Choose by type what the measurements in docs/lake.md favour; `counts` is the encoding of int16 leaves."""
    found = Columns([], {}, [])
    for each in schema:
        for path, kind in _leaves(each.name, each.type):
            _choose(found, path, kind, counts, split_floats=split_floats)
    return found


def _choose(found: Columns, path: str, kind: pa.DataType, counts: str, *, split_floats: bool) -> None:
    whole = "." not in path
    if pa.types.is_floating(kind):
        if split_floats:
            found.encoding[path] = "BYTE_STREAM_SPLIT"
        else:
            found.dictionary.append(path)
    elif pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        found.encoding[path] = counts if kind == pa.int16() else "DELTA_BINARY_PACKED"
    elif path in ("message_id", "position", "identity"):
        found.encoding[path] = "DELTA_BYTE_ARRAY"
    elif pa.types.is_string(kind):
        found.dictionary.append(path)
    if whole and not pa.types.is_binary(kind) and not pa.types.is_fixed_size_binary(kind):
        found.statistics.append(path)


def _leaves(path: str, kind: Any) -> list[tuple[str, pa.DataType]]:
    if pa.types.is_map(kind):
        return [
            *_leaves(f"{path}.key_value.key", kind.key_type),
            *_leaves(f"{path}.key_value.value", kind.item_type),
        ]
    if pa.types.is_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    if pa.types.is_struct(kind):
        return [leaf for each in kind for leaf in _leaves(f"{path}.{each.name}", each.type)]
    return [(path, kind)]
