"""The newest value of each quantity per device, for whoever wants to know now rather than exactly.

A value is guarded by its own event time, or by the time the log took it where a clock runs ahead: a device with a bad
clock cannot freeze its own latest value.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.decode import Ints, Messages
from stream.windows import Derived
from wearables_platform.clients.latest import POINT_DTYPE, TRACE_SPAN_US, LatestBatch, TraceChunk, hex_texts
from wearables_platform.domain.channels import ACCELERATION, QUANTITY_BY_NAME, VITALS, Channel
from wearables_platform.domain.time_policy import impossible_times
from wearables_platform.signals.motion import vector_magnitude_g
from wearables_platform.wire.codec import accel_values_g, dictionary_of

# A clock may be this much ahead before its event times stop counting as "newer".
AHEAD_TOLERANCE_US: Final = 60_000_000
TRACE_HZ: Final = 25.0


def guard_us(event_us: Ints, append_us: Ints) -> Ints:
    """Return what decides which value is newer: the event time, or the append time of a clock that runs ahead."""
    return np.where(event_us <= append_us + AHEAD_TOLERANCE_US, event_us, append_us)


def latest_of_messages(channel: Channel, messages: Messages, fresh: npt.NDArray[np.bool_]) -> list[LatestBatch]:
    """Return the newest values in the messages of a fetch that are no duplicates."""
    keep = np.flatnonzero(fresh)
    if not len(keep):
        return []
    rows, append_us, end_us = messages.rows, messages.append_us, messages.end_us
    if len(keep) < len(messages):
        rows, append_us, end_us = rows.take(pa.array(keep)), append_us[keep], end_us[keep]
    if channel is ACCELERATION:
        return _acceleration(rows, append_us, end_us)
    return _vitals(rows, append_us) if channel is VITALS else _status(rows, append_us)


def latest_of_windows(derived: Derived, score: npt.NDArray[np.float64], version: list[str | None]) -> list[LatestBatch]:
    """Return the newest window of each device."""
    rows = derived.windows
    last = np.flatnonzero(np.diff(rows.device, append=-1))
    if not len(last):
        return []
    fields: dict[str, Any] = {
        "window_start_us": rows.start_us[last],
        "enmo_mg": rows["enmo_mg"][last],
        "vm_mean_g": rows["vm_mean_g"][last],
        "steps_in_window": rows["steps"][last],
        "flags": rows["flags"][last],
        "provisional": np.full(len(last), derived.provisional),
        "anomaly_score": pa.array(score[last], from_pandas=True),  # NaN: no score, an empty text
        "model_version": [version[i] for i in last.tolist()],
    }
    final = np.full(len(last), int(not derived.provisional))
    ids = [derived.device_ids[device] for device in rows.device[last].tolist()]
    return [LatestBatch("window", ids, rows.start_us[last], final, fields)]


def _newest(device: Ints, guard: Ints, sequence: Ints) -> Ints:
    """Return the position of each device's newest value."""
    order = np.lexsort((sequence, guard, device))
    newest: Ints = order[np.flatnonzero(np.diff(device[order], append=-1))]
    return newest


def _sequence(rows: pa.RecordBatch) -> Ints:
    values: Ints = rows.column("sequence").to_numpy().astype(np.int64)
    return values


def _acceleration(rows: pa.RecordBatch, append_us: Ints, end_us: Ints) -> list[LatestBatch]:
    device, device_ids = dictionary_of(rows.column("device_id"))
    newest = _newest(device, guard_us(end_us, append_us), _sequence(rows))
    # Only what is shown is decoded: one message per device, however many there are.
    shown = rows.take(pa.array(newest))
    accel_g, counts = accel_values_g(shown)
    rate_hz, start_us = shown.column("rate_hz").to_numpy(), shown.column("start_time_us").to_numpy()
    time_us = start_us + np.rint((counts - 1) * 1e6 / rate_hz).astype(np.int64)
    sequence, last_g = _sequence(shown), accel_g[np.cumsum(counts) - 1]
    fields: dict[str, Any] = {
        "time_us": time_us,
        "boot_id": hex_texts(shown.column("boot_id").to_numpy().astype(np.int64)),  # as `boot_text` writes it
        "sequence": sequence,
        "x_g": last_g[:, 0],
        "y_g": last_g[:, 1],
        "z_g": last_g[:, 2],
        "vm_g": vector_magnitude_g(last_g.astype(np.float64)),
        "rate_hz": rate_hz,
        "append_us": append_us[newest],
    }
    ids = [device_ids[code] for code in device[newest].tolist()]
    guard = guard_us(time_us, append_us[newest])
    traces = partial(_traces, rows, append_us, end_us)
    return [LatestBatch("motion", ids, guard, sequence, fields, traces)]


def _traces(rows: pa.RecordBatch, append_us: Ints, end_us: Ints, wanted: frozenset[str] | None) -> list[TraceChunk]:
    """Return the last seconds of VM of the wanted devices (None: all), at 25 Hz or less."""
    guard = guard_us(end_us, append_us)
    if wanted is not None:
        mine = pc.is_in(rows.column("device_id"), pa.array(sorted(wanted), pa.string())).to_numpy(zero_copy_only=False)
        rows, guard = rows.filter(pa.array(mine)), guard[mine]
    if not rows.num_rows:
        return []
    device, device_ids = dictionary_of(rows.column("device_id"))
    newest = _newest(device, guard, _sequence(rows))
    last_us = np.zeros(len(device_ids), np.int64)
    last_us[device[newest]] = guard[newest]
    near = np.flatnonzero(guard > last_us[device] - TRACE_SPAN_US)
    message, points = _points(rows.take(pa.array(near)))
    code = device[near][message]
    order = np.lexsort((points["time_us"], code))
    code, points = code[order], points[order]
    opens = np.flatnonzero(np.diff(code, prepend=-1))
    return [
        TraceChunk(device_ids[code[begin]], int(last_us[code[begin]]), part)
        for begin, part in zip(opens.tolist(), np.split(points, opens[1:]), strict=True)
    ]


def _points(rows: pa.RecordBatch) -> tuple[Ints, npt.NDArray[np.void]]:
    """Thin the messages' samples to `TRACE_HZ`; returns each point's message, and the points."""
    accel_g, counts = accel_values_g(rows)
    first = np.cumsum(counts) - counts
    rate_hz, start_us = rows.column("rate_hz").to_numpy(), rows.column("start_time_us").to_numpy()
    stride = np.maximum(1, np.ceil(rate_hz / TRACE_HZ).astype(np.int64))
    kept = -(-counts // stride)
    message = np.repeat(np.arange(len(counts)), kept)
    within = (np.arange(len(message)) - (np.cumsum(kept) - kept)[message]) * stride[message]
    points = np.zeros(len(message), POINT_DTYPE)
    points["time_us"] = start_us[message] + np.rint(within * 1e6 / rate_hz[message]).astype(np.int64)
    points["vm_g"] = vector_magnitude_g(accel_g[first[message] + within].astype(np.float64))
    return message, points


def _vitals(rows: pa.RecordBatch, append_us: Ints) -> list[LatestBatch]:
    heart = _readings(rows, append_us, "heart_rate", "time_us", {"bpm": "hr_bpm", "time_us": "hr_time_us"})
    names = {"count": "steps", "start_time_us": "steps_start_us", "end_time_us": "steps_end_us"}
    return heart + _readings(rows, append_us, "steps", "end_time_us", names)


def _readings(
    rows: pa.RecordBatch, append_us: Ints, column: str, time_field: str, names: dict[str, str]
) -> list[LatestBatch]:
    lists = rows.column(column)
    readings = lists.flatten()
    if not len(readings):
        return []
    message = pc.list_parent_indices(lists).to_numpy()
    device, device_ids = dictionary_of(rows.column("device_id"))
    device, sequence = device[message], _sequence(rows)[message]
    guard = guard_us(readings.field(time_field).to_numpy(), append_us[message])
    believed = np.flatnonzero(_believed(readings, column, time_field, append_us[message]))
    if not len(believed):
        return []
    newest = believed[_newest(device[believed], guard[believed], sequence[believed])]
    fields = {name: readings.field(source).take(pa.array(newest)) for source, name in names.items()}
    ids = [device_ids[code] for code in device[newest].tolist()]
    return [LatestBatch(column, ids, guard[newest], sequence[newest], fields)]


def _believed(readings: pa.Array, column: str, time_field: str, append_us: Ints) -> npt.NDArray[np.bool_]:
    """Tell which readings may be shown as the newest; the cleaning rules the archive applies judge the rest."""
    possible: npt.NDArray[np.bool_] = ~impossible_times(readings.field(time_field).to_numpy(), append_us)
    if column == "heart_rate":
        heart_rate = QUANTITY_BY_NAME["heart_rate"]
        bpm = readings.field("bpm").to_numpy()
        possible &= (bpm >= heart_rate.low) & (bpm <= heart_rate.high)  # false for NaN
    return possible


def _status(rows: pa.RecordBatch, append_us: Ints) -> list[LatestBatch]:
    device, device_ids = dictionary_of(rows.column("device_id"))
    guard, sequence = guard_us(rows.column("start_time_us").to_numpy(), append_us), _sequence(rows)
    newest = _newest(device, guard, sequence)
    names = {"battery_percent": "battery_percent", "worn": "worn", "client_version": "client_version"}
    names |= {"device_model": "device_model", "start_time_us": "status_time_us"}
    fields = {name: rows.column(source).take(pa.array(newest)) for source, name in names.items()}
    ids = [device_ids[code] for code in device[newest].tolist()]
    return [LatestBatch("status", ids, guard[newest], sequence[newest], fields)]
