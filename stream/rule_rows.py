"""What rules found, as rows of the database and as plain values for Kafka and Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.partition import Harvest, Ruled
from stream.rows import ANOMALIES, FINAL_REVISION, PROVISIONAL_REVISION, TableRows, stream_table
from wearables_platform.clients.binary_copy import Column, Text
from wearables_platform.clients.latest import LatestBatch
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.domain.severity import rule_severity
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.minutes import MINUTE_US
from wearables_platform.signals.rolling import LONG_S, ROLLING_COLUMNS
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform.signals.wear import QUARTER_US, WearState
from wearables_platform.signals.windows import FEATURE_VERSION, window_start_us

_SQL_TYPES: Final = {"float64": "float8", "int32": "int4"}
_STANDING: Final = {"feature_version": "text", "provisional": "bool", "revision": "int8", "origin": "text"}
_NAMES: Final = [kind.name for kind in RULE_KINDS]
_UNITS: Final = [kind.unit for kind in RULE_KINDS]
_ADJUSTED: Final = [kind.adjusted for kind in RULE_KINDS]

_SHOWN: Final = ("enmo_mg", "mad_1s_mean_mg", "steps", "cadence_per_min", "coverage")

ROLLING: Final = stream_table(
    "telemetry.rolling_features",
    ("device_id", "window_start", "span_s"),
    {
        "device_id": "text",
        "window_start": "timestamptz",
        "span_s": "int4",
        **{column.name: _SQL_TYPES[column.dtype] for column in ROLLING_COLUMNS},
        **_STANDING,
    },
)
WEAR: Final = stream_table(
    "telemetry.wear",
    ("device_id", "window_start"),
    {
        "device_id": "text",
        "window_start": "timestamptz",
        "state": "text",
        "seconds": "int4",
        "still_axes": "int4",
        "sd_mg": "float8",
        **_STANDING,
    },
)


def rule_rows(ruled: Ruled) -> Iterator[TableRows]:
    """Yield rows for the database; what is still going on comes before what is over, and gives way to it."""
    found = ruled.findings
    for still_open in (True, False):
        chosen = found.events["open"] == still_open
        if chosen.any():
            columns = event_columns(found.events[chosen], ruled.device_ids)
            judged_by = [ruled_by for ruled_by, is_one in zip(_judged_by(ruled), chosen, strict=True) if is_one]
            yield TableRows(ANOMALIES, {**columns, "model_version": judged_by}, still_open, new=False)
    if len(found.wear):
        yield TableRows(WEAR, _wear_columns(found.wear, ruled.device_ids))
    if len(found.rolling):
        yield TableRows(ROLLING, _rolling_columns(found.rolling, ruled.device_ids))


def begins_us(ruled: Ruled) -> Iterator[tuple[str, int]]:
    """Yield, per table there are rows for, the earliest and the latest instant."""
    for part in rule_rows(ruled):
        starts_us = part.columns["window_start"]
        assert isinstance(starts_us, np.ndarray), "instants are an array"
        yield part.table.name, int(starts_us.min())
        yield part.table.name, int(starts_us.max())


def event_columns(events: npt.NDArray[Any], device_ids: Sequence[str]) -> dict[str, Column]:
    """Return events of rules in the columns of the table of all events; what only spikes have is NULL."""
    start_us, end_us = events["start_us"].astype(np.int64), events["end_us"].astype(np.int64)
    return {
        "device_id": Text(events["device"], device_ids),
        "kind": Text(events["kind"], _NAMES),
        "window_start": window_start_us(start_us),
        "started_at": start_us,
        "ended_at": end_us,
        "duration_ms": (end_us - start_us) / 1_000,
        "peak_g": None,
        "direction_x": None,
        "direction_y": None,
        "direction_z": None,
        "severity": _severities(events),
        "extreme_value": events["value"],
        "extreme_unit": Text(events["kind"], _UNITS),
        "feature_version": FEATURE_VERSION,
    }


def _judged_by(ruled: Ruled) -> list[str | None]:
    """Return per event the version of the thresholds it was found with; None for a kind that has the same for all."""
    kinds = ruled.findings.events["kind"].tolist()
    if not ruled.judged_by:
        return [None] * len(kinds)
    return [by if _ADJUSTED[kind] else None for kind, by in zip(kinds, ruled.judged_by, strict=True)]


def _severities(events: npt.NDArray[Any]) -> list[str | None]:
    pairs = zip(events["kind"].tolist(), events["value"].tolist(), strict=True)
    return [rule_severity(_NAMES[kind], value) for kind, value in pairs]


def _wear_columns(wear: npt.NDArray[Any], device_ids: Sequence[str]) -> dict[str, Column]:
    return {
        "device_id": Text(wear["device"], device_ids),
        "window_start": wear["span"].astype(np.int64) * QUARTER_US,
        "state": Text(wear["state"], [state.name.lower() for state in WearState]),
        "seconds": wear["seconds"],
        "still_axes": wear["still_axes"],
        "sd_mg": wear["sd_mg"],
        "feature_version": FEATURE_VERSION,
    }


def _rolling_columns(rolling: npt.NDArray[Any], device_ids: Sequence[str]) -> dict[str, Column]:
    return {
        "device_id": Text(rolling["device"], device_ids),
        "window_start": rolling["start_us"],
        "span_s": rolling["span_s"],
        **{column.name: rolling[column.name] for column in ROLLING_COLUMNS},
        "feature_version": FEATURE_VERSION,
    }


def rule_events(ruled: Ruled) -> list[dict[str, Any]]:
    """Return events as plain values, as they go to Kafka and Redis; keys as those of spikes where both have them."""
    events = ruled.findings.events
    severities = _severities(events)
    return [
        {
            "device_id": ruled.device_ids[event["device"]],
            "kind": _NAMES[event["kind"]],
            "start_us": int(event["start_us"]),
            "end_us": int(event["end_us"]),
            "duration_ms": float(event["end_us"] - event["start_us"]) / 1_000,
            "extreme_value": float(event["value"]),
            "extreme_unit": _UNITS[event["kind"]],
            "severity": severity,
            "feature_version": FEATURE_VERSION,
            "model_version": judged_by,
            "provisional": bool(event["open"]),
            "revision": PROVISIONAL_REVISION if event["open"] else FINAL_REVISION,
        }
        for event, severity, judged_by in zip(events, severities, _judged_by(ruled), strict=True)
    ]


def late_minute_columns(harvests: Sequence[Harvest]) -> dict[str, list[Any]]:
    """Return parameters of `mark_dirty_minutes`; one entry per device, minute and topic."""
    marks = {
        (one.device_ids[device], minute, topic): (from_us(one.log_us), one.partition, one.read[topic])
        for one in (harvest.ruled for harvest in harvests)
        if one is not None
        for device, minute, heart in one.findings.late.tolist()
        for topic in [VITALS.topic if heart else ACCELERATION.topic]
    }
    return {
        "device_ids": [device_id for device_id, _, _ in marks],
        "starts": [from_us(minute * MINUTE_US) for _, minute, _ in marks],
        "topics": [topic for _, _, topic in marks],
        "noticed": [noticed for noticed, _, _ in marks.values()],
        "partitions": [partition for _, partition, _ in marks.values()],
        "read": [position for _, _, position in marks.values()],
    }


def latest_of_rules(ruled: Ruled) -> list[LatestBatch]:
    """Return the newest 60 s row and the newest quarter of wear of each device."""
    rolling = ruled.findings.rolling[ruled.findings.rolling["span_s"] == LONG_S]
    wear = ruled.findings.wear
    batches = []
    if len(rolling):
        last = rolling[_last_of_each(rolling["device"], rolling["start_us"])]
        fields = {f"rolling_{name}": np.ascontiguousarray(last[name]) for name in ("start_us", *_SHOWN)}
        batches.append(_batch("rolling", ruled, last, last["start_us"].astype(np.int64), fields))
    if len(wear):
        last = wear[_last_of_each(wear["device"], wear["span"])]
        start_us = last["span"].astype(np.int64) * QUARTER_US
        states = [WearState(state).name.lower() for state in last["state"].tolist()]
        batches.append(_batch("wear", ruled, last, start_us, {"wear_start_us": start_us, "wear": states}))
    return batches


def _last_of_each(device: npt.NDArray[Any], time: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    order = np.lexsort((time, device))
    return np.asarray(order[np.append(np.diff(device[order]) != 0, True)])


def _batch(group: str, ruled: Ruled, last: npt.NDArray[Any], at_us: npt.NDArray[np.int64], fields: Any) -> LatestBatch:
    ids = [ruled.device_ids[device] for device in last["device"].tolist()]
    return LatestBatch(group, ids, at_us, np.zeros(len(last), np.int64), fields)
