"""Harvests as rows of the database: tables, columns, keys, and what may replace what.

The stream writes revision 1 (provisional) and 2 (final). It replaces only its own rows, and never a later revision:
what batch has written stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from stream.order import ClockStep, Gap, Late
from stream.partition import Harvest, ScoredRows
from wearables_platform.clients.sql import BulkTable, columns_to_rows, nullable
from wearables_platform.domain.identity import MessageIdentity, boot_text
from wearables_platform.domain.severity import spike_severity
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US
from wearables_platform.wire.samples import touched_windows

CONSUMER: Final = "stream"
ORIGIN: Final = "stream"
PROVISIONAL_REVISION: Final = 1
FINAL_REVISION: Final = 2
_SQL_TYPES: Final = {"float64": "float8", "int32": "int4"}


def _replacing(table: str, key: tuple[str, ...], columns: Iterable[str]) -> str:
    """Return the end of an insert that replaces only the stream's own rows of no later revision, where they differ."""
    changed = [name for name in columns if name not in key]
    names = ", ".join(changed)
    return (
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET ({names}) = ROW({', '.join(f'excluded.{n}' for n in changed)}) "
        f"WHERE {table}.origin = '{ORIGIN}' AND {table}.revision <= excluded.revision "
        f"AND ROW({', '.join(f'{table}.{n}' for n in changed)}) IS DISTINCT FROM "
        f"ROW({', '.join(f'excluded.{n}' for n in changed)})"
    )


_WINDOW_COLUMNS: Final = {
    "device_id": "text",
    "window_start": "timestamptz",
    **{column.name: _SQL_TYPES[column.dtype] for column in FEATURE_COLUMNS},
    "anomaly_score": "float8",
    "model_version": "text",
    "feature_version": "text",
    "provisional": "bool",
    "revision": "int8",
    "origin": "text",
}
_WINDOW_KEY: Final = ("device_id", "window_start")
WINDOWS: Final = BulkTable(
    "telemetry.window_features",
    _WINDOW_COLUMNS,
    _replacing("window_features", _WINDOW_KEY, _WINDOW_COLUMNS),
    distinct_on=_WINDOW_KEY,
)
_ANOMALY_COLUMNS: Final = {
    "device_id": "text",
    "kind": "text",
    "window_start": "timestamptz",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "duration_ms": "float8",
    "peak_g": "float8",
    "direction_x": "float8",
    "direction_y": "float8",
    "direction_z": "float8",
    "severity": "text",
    "feature_version": "text",
    "provisional": "bool",
    "revision": "int8",
    "origin": "text",
}
_ANOMALY_KEY: Final = ("device_id", "kind", "window_start", "started_at")
ANOMALIES: Final = BulkTable(
    "telemetry.anomalies",
    _ANOMALY_COLUMNS,
    _replacing("anomalies", _ANOMALY_KEY, _ANOMALY_COLUMNS),
    distinct_on=_ANOMALY_KEY,
)


def window_rows(made: ScoredRows) -> Iterator[tuple[Any, ...]]:
    """Return rows for `WINDOWS`."""
    rows, ids = made.derived.windows, made.derived.device_ids
    n = len(rows)
    return columns_to_rows(
        [
            [ids[d] for d in rows.device.tolist()],
            [from_us(t) for t in rows.start_us.tolist()],
            *(rows[column.name] for column in FEATURE_COLUMNS),
            made.score,
            made.version,
            [FEATURE_VERSION] * n,
            *_standing(made.derived.provisional, n),
        ]
    )


def anomaly_rows(made: ScoredRows) -> Iterator[tuple[Any, ...]]:
    """Return rows for `ANOMALIES`."""
    for event in anomaly_events(made):
        start_us = event["start_us"]
        yield (
            event["device_id"],
            event["kind"],
            from_us(start_us // WINDOW_US * WINDOW_US),
            from_us(start_us),
            from_us(event["end_us"]),
            event["duration_ms"],
            event["peak_g"],
            *event["direction"],
            event["severity"],
            FEATURE_VERSION,
            event["provisional"],
            event["revision"],
            ORIGIN,
        )


def anomaly_events(made: ScoredRows) -> list[dict[str, Any]]:
    """Return events as plain values, as they go to Kafka and Redis."""
    events, ids = made.derived.events, made.derived.device_ids
    provisional = made.derived.provisional
    direction = np.column_stack((events.direction_x, events.direction_y, events.direction_z))
    columns = (events.device.tolist(), events.start_us.tolist(), events.duration_ms.tolist(), events.peak_g.tolist())
    return [
        {
            "device_id": ids[device],
            "kind": events.kind,
            "start_us": start_us,
            "end_us": start_us + round(duration_ms * 1_000),
            "duration_ms": duration_ms,
            "peak_g": peak_g,
            "direction": nullable(direction[i]),
            "severity": spike_severity(peak_g),
            "feature_version": FEATURE_VERSION,
            "provisional": provisional,
            "revision": PROVISIONAL_REVISION if provisional else FINAL_REVISION,
        }
        for i, (device, start_us, duration_ms, peak_g) in enumerate(zip(*columns, strict=True))
    ]


def anomaly_key(event: dict[str, Any]) -> str:
    """Return what an event is one of: device, kind, start."""
    return f"{event['device_id']}:{event['kind']}:{event['start_us']}"


def _standing(provisional: bool, n: int) -> list[list[Any]]:
    revision = PROVISIONAL_REVISION if provisional else FINAL_REVISION
    return [[provisional] * n, [revision] * n, [ORIGIN] * n]


def ledger_columns(harvests: list[Harvest]) -> dict[str, Any]:
    """Return parameters of `extend_ledger`; one entry per key, as the statement needs."""
    spans: dict[tuple[str, int, str], list[list[int]]] = {}
    for harvest in harvests:
        for outcome, found in harvest.ledger.items():
            spans.setdefault((harvest.topic, harvest.partition, outcome), []).extend(found)
    return {
        "consumer": CONSUMER,
        "topics": [key[0] for key in spans],
        "partitions": [key[1] for key in spans],
        "outcomes": [key[2] for key in spans],
        "positions": ["{" + ",".join(f"[{a},{b})" for a, b in found) + "}" for found in spans.values()],
    }


def gap_columns(gaps: list[Gap]) -> dict[str, list[Any]]:
    """Return parameters of `record_gaps`."""
    return {
        "device_ids": [gap.device_id for gap in gaps],
        "boot_ids": [boot_text(gap.boot) for gap in gaps],
        "firsts": [gap.first_sequence for gap in gaps],
        "lasts": [gap.last_sequence for gap in gaps],
        "afters": [from_us(gap.after_us) for gap in gaps],
        "befores": [from_us(gap.before_us) for gap in gaps],
        "detected": [from_us(gap.detected_us) for gap in gaps],
    }


def clock_step_columns(steps: list[ClockStep]) -> dict[str, list[Any]]:
    """Return parameters of `record_clock_steps`."""
    return {
        "device_ids": [step.device_id for step in steps],
        "boot_ids": [boot_text(step.boot) for step in steps],
        "sequences": [step.sequence for step in steps],
        "times": [from_us(step.start_us) for step in steps],
        "steps_ms": [step.step_us / 1_000 for step in steps],
    }


def dirty_columns(late: list[Late], steps: list[ClockStep]) -> dict[str, list[Any]]:
    """Return parameters of `mark_dirty_windows`: every window that a late message or a clock's jump touches."""
    causes = [*late, *(_as_late(step) for step in steps)]
    marks = {
        (one.device_id, start, one.cause, str(MessageIdentity(one.device_id, one.boot, one.sequence))): one.log_us
        for one in causes
        for start in touched_windows(one.start_us, max(one.end_us, one.start_us + 1))
    }
    return {
        "device_ids": [key[0] for key in marks],
        "starts": [from_us(key[1]) for key in marks],
        "causes": [key[2] for key in marks],
        "message_ids": [key[3] for key in marks],
        "noticed": [from_us(log_us) for log_us in marks.values()],
    }


def _as_late(step: ClockStep) -> Late:
    return Late(step.device_id, step.boot, step.sequence, step.start_us, step.end_us, step.log_us, "clock_step")


def superseded_columns(spans: list[tuple[str, int, int]]) -> dict[str, list[Any]]:
    """Return parameters of `withdraw_provisional_anomalies`."""
    return {
        "device_ids": [span[0] for span in spans],
        "froms": [from_us(span[1]) for span in spans],
        "untils": [from_us(span[2]) for span in spans],
    }
