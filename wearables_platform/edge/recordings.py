"""Recordings in CSV, .csv.gz and Parquet: read with every row accounted for, and turned into a device's messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from wearables_platform.domain.identity import replay_boot_id
from wearables_platform.domain.labels import LabelledSpan, label_name, spans_of_labels
from wearables_platform.domain.time_policy import EARLIEST_EVENT_US, US_PER_S, to_us
from wearables_platform.edge.acceleration import AccelerationEncoder, Sampling
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.stamps import regular_times
from wearables_platform.errors import ConfigError
from wearables_platform.signals.rates import measured_rate_hz

STANDARD_GRAVITY_M_S2: Final = 9.80665
UNIT_G: Final[Mapping[str, float]] = {"g": 1.0, "m/s2": 1 / STANDARD_GRAVITY_M_S2}
UNIT_US: Final[Mapping[str, float]] = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
WHOLE_FILE: Final = ""
SUFFIXES: Final = (".csv", ".csv.gz", ".txt", ".txt.gz", ".parquet")

SkipReason = Literal["unparsable", "non_finite", "repeated_row", "backward_time"]


@dataclass(frozen=True)
class ReadOptions:
    """How to read a recording; columns by name, or by number from 0 where the file has no header.

    Attributes
    ----------
    time
        Column of the stamps; None takes `rate_hz` and `start`.
    time_unit
        s, ms, us or ns since the Unix epoch (or since anything, with `start`).
    time_format
        How stamps that are text are written, as in strptime; `time_zone` says where they were.
    unit, scale
        A value times `scale` is in `unit`: counts of 1/64 g are unit g, scale 0.015625.
    group
        Column that tells recordings of one file apart.
    label
        Column that says what was done; empty where nothing is said.
    rate_hz
        Nominal rate; measured where there are stamps and this is not given.
    start
        When the first sample was taken; moves all stamps. Without it and without stamps the first is at 1970.
    skip_rows
        Lines before the header, or before the first sample where there is no header.
    """

    axes: tuple[str, str, str]
    unit: str
    time: str | None = None
    time_unit: str = "s"
    time_format: str | None = None
    time_zone: str = "UTC"
    scale: float = 1.0
    group: str | None = None
    label: str | None = None
    header: bool = True
    skip_rows: int = 0
    rate_hz: float | None = None
    start: datetime | None = None

    def __post_init__(self) -> None:
        _require(self.unit in UNIT_G, f"--unit must be one of {', '.join(UNIT_G)}, not {self.unit!r}")
        _require(self.time_unit in UNIT_US, f"--time-unit must be one of {', '.join(UNIT_US)}, not {self.time_unit!r}")
        _require(self.time is not None or self.rate_hz, "without --time a recording needs --rate-hz")
        _require(self.rate_hz is None or self.rate_hz > 0, f"--rate-hz must be positive, not {self.rate_hz}")
        _require(self.start is None or self.start.tzinfo is not None, "--start needs a time zone, such as a final Z")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column needed."""
        return tuple(name for name in (self.time, *self.axes, self.group, self.label) if name is not None)


@dataclass(frozen=True)
class Recording:
    """One person's samples in the order recorded.

    Attributes
    ----------
    time_us : (N,) int64
        Stamps as recorded, not decreasing.
    accel_g : (N, 3) float64
    rate_hz : float
        Nominal if it was given, measured otherwise; NaN if it cannot be measured.
    skipped : rows not used, by reason
    labels : (N,) text, as stored, empty where nothing is said; None where the recording carries none
    """

    group: str
    time_us: NDArray[np.int64]
    accel_g: NDArray[np.float64]
    rate_hz: float
    skipped: Mapping[str, int] = field(default_factory=dict)
    labels: NDArray[np.str_] | None = None

    def label_spans(self) -> list[LabelledSpan]:
        """Return what was said of the samples, as spans; none where nothing was, or the rate is not known."""
        if self.labels is None or not np.isfinite(self.rate_hz):
            return []
        return spans_of_labels(self.time_us, self.labels.tolist(), round(US_PER_S / self.rate_hz))

    def __len__(self) -> int:
        return len(self.time_us)

    def content_sha256(self) -> bytes:
        """Return a digest of times and values."""
        digest = hashlib.sha256(self.time_us.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.accel_g, "<f8").tobytes())
        return digest.digest()


def read_recordings(path: Path, options: ReadOptions) -> list[Recording]:
    """Read a file; each group is one recording, in the order of its first row.

    Every row is in a recording or counted as skipped: *unparsable* (too few or too many fields, text where a number
    belongs), *non_finite* (empty, NaN, infinite), *repeated_row* (stamp and values of the row before),
    *backward_time* (before the row before). A repeated stamp with other values is a sample like any other.

    Raises
    ------
    ConfigError
        The file cannot be read, or lacks a column; the message names it.
    """
    frame, malformed = _read_table(path, options)
    groups = frame.pop("group").fillna(WHOLE_FILE) if options.group else pd.Series(WHOLE_FILE, frame.index)
    recordings = [
        _recording(str(name), frame.loc[rows], options)
        for name, rows in groups.groupby(groups, sort=False).groups.items()
    ]
    if malformed:
        # A line that is not a row cannot be given to a group: it is counted with the first.
        first = recordings[0] if recordings else _empty(options)
        skipped = {**first.skipped, "unparsable": first.skipped.get("unparsable", 0) + malformed}
        recordings[:1] = [replace(first, skipped=skipped)]
    return recordings


def replay_messages(device_id: str, recording: Recording, sampling: Sampling) -> Iterator[EncodedMessage]:
    """Turn a recording into messages; the same recording and sampling give the same bytes and identities.

    Times follow the stamps with their jitter removed (`edge.stamps`); every sample is in exactly one message where
    nothing is reduced. Messages end at gaps.
    """
    if len(recording) < 2 or not np.isfinite(recording.rate_hz):
        return  # a rate cannot be measured: nothing says when the sample after would have come
    boot_id = replay_boot_id(device_id, recording.content_sha256(), repr(sampling))
    encoder = AccelerationEncoder(device_id, boot_id, sampling)
    per_message = sampling.plan().block_samples * sampling.blocks_per_message
    origin_us = int(recording.time_us[0])
    for piece in regular_times(recording.time_us - origin_us, recording.rate_hz).pieces(per_message):
        if not piece.continues:
            yield from encoder.interrupt()
        samples_g = recording.accel_g[piece.first : piece.last]
        start_us = origin_us + piece.start_us
        yield from encoder.feed(samples_g, start_us, piece.start_us)
    yield from encoder.interrupt()


def require_event_time(recording: Recording) -> None:
    """Refuse to replay stamps that are no times of day: counted since a phone's start, or in another unit."""
    if len(recording) and recording.time_us[0] < EARLIEST_EVENT_US:
        msg = (
            f"recording {recording.group or 'in this file'} starts at {int(recording.time_us[0])} us since 1970:"
            " not a time of day in this --time-unit; say when it began with --start"
        )
        raise ConfigError(msg)


def _read_table(path: Path, options: ReadOptions) -> tuple[pd.DataFrame, int]:
    _require(path.is_file(), f"no file {path}")
    _require(path.name.endswith(SUFFIXES), f"{path.name} is none of {', '.join(SUFFIXES)}")
    try:
        if path.suffix == ".parquet":
            table, malformed = _read_parquet(path, options), 0
        else:
            table, malformed = _read_csv(path, options)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as exc:
        msg = f"cannot read {path.name}: {exc}"
        raise ConfigError(msg) from exc
    names = dict(zip(_roles(options), options.columns, strict=True))
    return pd.DataFrame({role: table.column(name).to_pandas() for role, name in names.items()}), malformed


def _roles(options: ReadOptions) -> tuple[str, ...]:
    time, group = ("time",) if options.time else (), ("group",) if options.group else ()
    return (*time, "x", "y", "z", *group, *(("label",) if options.label else ()))


def _read_parquet(path: Path, options: ReadOptions) -> pa.Table:
    names = pa.parquet.read_schema(path).names
    _require_columns(path, names, options)
    return pa.parquet.read_table(path, columns=list(dict.fromkeys(options.columns)))


def _read_csv(path: Path, options: ReadOptions) -> tuple[pa.Table, int]:
    malformed: list[int] = []

    def skip(row: Any) -> str:
        malformed.append(row.number or 0)
        return "skip"

    reading = pa.csv.ReadOptions(skip_rows=options.skip_rows, autogenerate_column_names=not options.header)
    wanted = options.columns if options.header else tuple(f"f{number}" for number in _numbers(options))
    # Read as text: a column with one bad value must not change how the others are read.
    text = pa.csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=True)
    parsing = pa.csv.ParseOptions(invalid_row_handler=skip)
    table = pa.csv.read_csv(path, reading, parsing, text)
    if not options.header:
        table = table.rename_columns([name.removeprefix("f") for name in table.column_names])
    else:
        table = table.rename_columns([name.strip() for name in table.column_names])
    _require_columns(path, table.column_names, options)
    return table, len(malformed)


def _numbers(options: ReadOptions) -> list[int]:
    for column in options.columns:
        _require(column.isdecimal(), f"--no-header: columns are numbers from 0, not {column!r}")
    return [int(column) for column in options.columns]


def _require_columns(path: Path, names: list[str], options: ReadOptions) -> None:
    for column in options.columns:
        _require(column in names, f"{path.name} has no column {column!r}; it has {', '.join(names[:30])}")


def _recording(group: str, frame: pd.DataFrame, options: ReadOptions) -> Recording:
    skipped: dict[str, int] = {}
    said = _labels(frame.pop("label")) if options.label else None
    texts = frame.pop("time") if options.time_format else None
    values, unparsable = _numeric(frame)
    if texts is not None:
        values["time"], bad_time = _parse_times(texts, options)
        unparsable |= bad_time
    frame = _skip(values, unparsable, "unparsable", skipped)
    frame = _skip(frame, ~np.isfinite(frame.to_numpy(np.float64)).all(axis=1), "non_finite", skipped)
    time_us = _time_us(frame, options)
    accel_g = frame[["x", "y", "z"]].to_numpy(np.float64) * options.scale * UNIT_G[options.unit]
    keep = _usable_order(time_us, accel_g, skipped)
    time_us, accel_g = time_us[keep], accel_g[keep]
    labels = None if said is None else said.loc[frame.index[keep]].to_numpy(dtype=object).astype(np.str_)
    return Recording(group, time_us, accel_g, options.rate_hz or measured_rate_hz(time_us), skipped, labels)


def _labels(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return labels as they are stored; `ConfigError` names one that is none."""
    names = {"": ""}
    for text in column.dropna().astype(str).str.strip().unique():
        try:
            names[text] = label_name(text) if text else ""
        except ValueError as exc:
            raise ConfigError(str(exc)) from exc
    return column.fillna("").astype(str).str.strip().map(names)


def _empty(options: ReadOptions) -> Recording:
    return Recording(WHOLE_FILE, np.empty(0, np.int64), np.empty((0, 3)), options.rate_hz or float("nan"))


def _numeric(frame: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Return the columns as numbers, and the rows in which something is there that is none."""
    values = pd.DataFrame({name: pd.to_numeric(frame[name], errors="coerce") for name in frame})
    bad = np.zeros(len(frame), np.bool_)
    for name in frame:
        text = frame[name].astype(str).str.strip().str.lower()
        bad |= np.asarray(values[name].isna() & frame[name].notna() & ~text.isin(["nan", "", "none"]))
    return values, bad


def _parse_times(column: pd.Series[Any], options: ReadOptions) -> tuple[pd.Series[Any], NDArray[np.bool_]]:
    """Return texts as microseconds since the epoch, NaN where there is none, and which could not be read."""
    parsed = pd.to_datetime(column, format=options.time_format, errors="coerce")
    if parsed.dt.tz is None:
        parsed = parsed.dt.tz_localize(ZoneInfo(options.time_zone), ambiguous="NaT", nonexistent="NaT")
    time_us: pd.Series[Any] = (parsed - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1)
    return time_us, np.asarray(parsed.isna() & column.notna())


def _skip(frame: pd.DataFrame, bad: NDArray[np.bool_], reason: SkipReason, skipped: dict[str, int]) -> pd.DataFrame:
    if bad.any():
        skipped[reason] = int(bad.sum())
    return frame.loc[~bad]


def _time_us(frame: pd.DataFrame, options: ReadOptions) -> NDArray[np.int64]:
    if options.time is None:
        assert options.rate_hz is not None
        time_us = np.round(np.arange(len(frame)) * 1e6 / options.rate_hz).astype(np.int64)
    elif options.time_format:
        time_us = frame["time"].to_numpy(np.int64)
    else:
        time_us = _scaled_times(frame["time"].to_numpy(), UNIT_US[options.time_unit])
    if options.start is not None and len(time_us):
        time_us = time_us - time_us[0] + to_us(options.start.astimezone(UTC))
    return np.asarray(time_us)


def _scaled_times(stamps: NDArray[Any], unit_us: float) -> NDArray[np.int64]:
    if stamps.dtype.kind == "i":  # whole numbers stay exact: nanoseconds of today are beyond a float's digits
        return stamps // round(1 / unit_us) if unit_us < 1 else stamps * round(unit_us)
    return np.round(stamps.astype(np.float64) * unit_us).astype(np.int64)


def _usable_order(
    time_us: NDArray[np.int64], accel_g: NDArray[np.float64], skipped: dict[str, int]
) -> NDArray[np.bool_]:
    """Mark the rows whose stamps never run backwards and that do not repeat the row before."""
    if not len(time_us):
        return np.zeros(0, np.bool_)
    latest = np.maximum.accumulate(time_us)
    backward = np.zeros(len(time_us), np.bool_)
    backward[1:] = time_us[1:] < latest[:-1]
    repeated = np.zeros(len(time_us), np.bool_)
    repeated[1:] = (np.diff(time_us) == 0) & (np.diff(accel_g, axis=0) == 0).all(axis=1)
    for reason, bad in (("backward_time", backward), ("repeated_row", repeated & ~backward)):
        if bad.any():
            skipped[reason] = int(bad.sum())
    return ~(backward | repeated)


def _require(holds: object, complaint: str) -> None:
    if not holds:
        raise ConfigError(complaint)
