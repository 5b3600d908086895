"""The newest value of each quantity per device, for whoever wants to know now rather than exactly.

A value is guarded by its own event time, or by the time the log took it where a clock runs ahead: a device with a bad
clock cannot freeze its own latest value.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.decode import Ints, Messages
from stream.windows import Derived
from wearables_platform.clients.redis import TRACE_POINTS, LatestUpdate
from wearables_platform.domain.channels import ACCELERATION, QUANTITY_BY_NAME, VITALS, Channel
from wearables_platform.domain.identity import boot_text
from wearables_platform.domain.time_policy import impossible_times
from wearables_platform.signals.motion import vector_magnitude_g
from wearables_platform.wire.codec import accel_values_g, dictionary_of

# A clock may be this much ahead before its event times stop counting as "newer".
AHEAD_TOLERANCE_US: Final = 60_000_000
TRACE_HZ: Final = 25.0
TRACE_SPAN_US: Final = 10_000_000


def guard_us(event_us: Ints, append_us: Ints) -> Ints:
    """Return what decides which value is newer: the event time, or the append time of a clock that runs ahead."""
    return np.where(event_us <= append_us + AHEAD_TOLERANCE_US, event_us, append_us)


def latest_of_messages(
    channel: Channel, messages: Messages, fresh: npt.NDArray[np.bool_], *, traced: bool = True
) -> list[LatestUpdate]:
    """Return the newest values in the messages of a fetch that are no duplicates, with a trace of VM if `traced`."""
    keep = np.flatnonzero(fresh)
    if not len(keep):
        return []
    rows, append_us = messages.rows, messages.append_us
    if len(keep) < len(messages):
        rows, append_us = rows.take(pa.array(keep)), append_us[keep]
    if channel is ACCELERATION:
        return _acceleration(rows, append_us, traced=traced)
    return _vitals(rows, append_us) if channel is VITALS else _status(rows, append_us)


def latest_of_windows(
    derived: Derived, score: npt.NDArray[np.float64], version: list[str | None]
) -> list[LatestUpdate]:
    """Return the newest window of each device."""
    rows = derived.windows
    last = np.flatnonzero(np.diff(rows.device, append=-1))
    return [
        LatestUpdate(
            derived.device_ids[rows.device[i]],
            "window",
            int(rows.start_us[i]),
            int(derived.provisional is False),
            {
                "window_start_us": int(rows.start_us[i]),
                "enmo_mg": float(rows["enmo_mg"][i]),
                "vm_mean_g": float(rows["vm_mean_g"][i]),
                "steps_in_window": int(rows["steps"][i]),
                "flags": int(rows["flags"][i]),
                "provisional": int(derived.provisional),
                "anomaly_score": "" if np.isnan(score[i]) else float(score[i]),
                "model_version": version[i] or "",
            },
        )
        for i in last.tolist()
    ]


def _newest(device: Ints, guard: Ints, sequence: Ints) -> list[int]:
    """Return the position of each device's newest value."""
    order = np.lexsort((sequence, guard, device))
    newest: list[int] = order[np.flatnonzero(np.diff(device[order], append=-1))].tolist()
    return newest


def _sequence(rows: pa.RecordBatch) -> Ints:
    values: Ints = rows.column("sequence").to_numpy().astype(np.int64)
    return values


def _acceleration(rows: pa.RecordBatch, append_us: Ints, *, traced: bool) -> list[LatestUpdate]:
    device, device_ids = dictionary_of(rows.column("device_id"))
    accel_g, counts = accel_values_g(rows)
    first = np.cumsum(counts) - counts
    rate_hz, start_us, sequence = (
        rows.column("rate_hz").to_numpy(),
        rows.column("start_time_us").to_numpy(),
        _sequence(rows),
    )
    time_us = start_us + np.rint((counts - 1) * 1e6 / rate_hz).astype(np.int64)
    guard = guard_us(time_us, append_us)
    newest = _newest(device, guard, sequence)
    traces = _traces(device, start_us, rate_hz, accel_g, first, counts, guard, newest) if traced else {}
    boots = rows.column("boot_id").to_numpy()
    updates = []
    for i in newest:
        x_g, y_g, z_g = (float(value) for value in accel_g[first[i] + counts[i] - 1])
        fields: dict[str, Any] = {
            "time_us": int(time_us[i]), "boot_id": boot_text(int(boots[i])), "sequence": int(sequence[i]),
            "x_g": x_g, "y_g": y_g, "z_g": z_g, "vm_g": float(np.sqrt(x_g * x_g + y_g * y_g + z_g * z_g)),
            "rate_hz": float(rate_hz[i]), "append_us": int(append_us[i]),
        }  # fmt: skip
        code = int(device[i])
        updates.append(
            LatestUpdate(device_ids[code], "motion", int(guard[i]), int(sequence[i]), fields, traces.get(code, ()))
        )
    return updates


def _traces(
    device: Ints,
    start_us: Ints,
    rate_hz: npt.NDArray[np.float64],
    accel_g: npt.NDArray[np.float32],
    first: Ints,
    counts: Ints,
    guard: Ints,
    newest: list[int],
) -> dict[int, list[str]]:
    """Return per device the last seconds of VM at 25 Hz or less, as ``time_us:vm_g`` in time order."""
    last_us = np.zeros(int(device.max()) + 1, np.int64)
    last_us[device[newest]] = guard[newest]
    near = np.flatnonzero(guard > last_us[device] - TRACE_SPAN_US)
    stride = np.maximum(1, np.ceil(rate_hz[near] / TRACE_HZ).astype(np.int64))
    points = -(-counts[near] // stride)
    message = np.repeat(np.arange(len(near)), points)
    within = (np.arange(len(message)) - (np.cumsum(points) - points)[message]) * stride[message]
    at = near[message]
    time_us = start_us[at] + np.rint(within * 1e6 / rate_hz[at]).astype(np.int64)
    vm_g = vector_magnitude_g(accel_g[first[at] + within].astype(np.float64))
    order = np.lexsort((time_us, device[at]))
    codes, opens = np.unique(device[at][order], return_index=True)
    texts = [f"{t}:{v:.4f}" for t, v in zip(time_us[order].tolist(), vm_g[order].tolist(), strict=True)]
    ends = [*opens[1:].tolist(), len(texts)]
    return {c: texts[b:e][-TRACE_POINTS:] for c, b, e in zip(codes.tolist(), opens.tolist(), ends, strict=True)}


def _vitals(rows: pa.RecordBatch, append_us: Ints) -> list[LatestUpdate]:
    heart = _readings(rows, append_us, "heart_rate", "time_us", {"bpm": "hr_bpm", "time_us": "hr_time_us"})
    names = {"count": "steps", "start_time_us": "steps_start_us", "end_time_us": "steps_end_us"}
    return heart + _readings(rows, append_us, "steps", "end_time_us", names)


def _readings(
    rows: pa.RecordBatch, append_us: Ints, column: str, time_field: str, names: dict[str, str]
) -> list[LatestUpdate]:
    lists = rows.column(column)
    readings = lists.flatten()
    if not len(readings):
        return []
    message = pc.list_parent_indices(lists).to_numpy()
    device, device_ids = dictionary_of(rows.column("device_id"))
    sequence = _sequence(rows)
    guard = guard_us(readings.field(time_field).to_numpy(), append_us[message])
    believed = np.flatnonzero(_believed(readings, column, time_field, append_us[message]))
    if not len(believed):
        return []
    return [
        LatestUpdate(
            device_ids[device[message[i]]],
            column,
            int(guard[i]),
            int(sequence[message[i]]),
            {name: readings.field(source)[i].as_py() for source, name in names.items()},
        )
        for i in believed[_newest(device[message][believed], guard[believed], sequence[message][believed])]
    ]


def _believed(readings: pa.Array, column: str, time_field: str, append_us: Ints) -> npt.NDArray[np.bool_]:
    """Tell which readings may be shown as the newest; the cleaning rules the archive applies judge the rest."""
    possible: npt.NDArray[np.bool_] = ~impossible_times(readings.field(time_field).to_numpy(), append_us)
    if column == "heart_rate":
        heart_rate = QUANTITY_BY_NAME["heart_rate"]
        bpm = readings.field("bpm").to_numpy()
        possible &= (bpm >= heart_rate.low) & (bpm <= heart_rate.high)  # false for NaN
    return possible


def _status(rows: pa.RecordBatch, append_us: Ints) -> list[LatestUpdate]:
    device, device_ids = dictionary_of(rows.column("device_id"))
    guard, sequence = guard_us(rows.column("start_time_us").to_numpy(), append_us), _sequence(rows)
    names = {"battery_percent": "battery_percent", "worn": "worn", "client_version": "client_version"}
    names |= {"device_model": "device_model", "start_time_us": "status_time_us"}
    return [
        LatestUpdate(
            device_ids[device[i]],
            "status",
            int(guard[i]),
            int(sequence[i]),
            {name: _plain(rows.column(source)[i].as_py()) for source, name in names.items()},
        )
        for i in _newest(device, guard, sequence)
    ]


def _plain(value: Any) -> str | int | float:
    return int(value) if isinstance(value, bool) else value
