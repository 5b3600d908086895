"""Harvests as rows of the database: tables, columns, keys, and what may replace what.

The stream writes revision 1 (provisional) and 2 (final). It replaces only its own rows, and never a later revision:
what batch has written stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from stream.order import ClockStep, Gap, Late
from stream.partition import Harvest, ScoredRows
from wearables_platform.clients.binary_copy import Column, Text, row_count, stacked
from wearables_platform.clients.sql import BulkTable, nullable
from wearables_platform.domain.identity import MessageIdentity, boot_text
from wearables_platform.domain.severity import spike_severity
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import FEATURE_VERSION, window_start_us
from wearables_platform.wire.samples import touched_windows

CONSUMER: Final = "stream"
ORIGIN: Final = "stream"
PROVISIONAL_REVISION: Final = 1
FINAL_REVISION: Final = 2
_SQL_TYPES: Final = {"float64": "float8", "int32": "int4"}


def stream_table(name: str, key: tuple[str, ...], columns: Mapping[str, str]) -> BulkTable:
    """Describe a table of rows with a revision and an origin, of which the stream replaces only its own.

    Parameters
    ----------
    name
        Qualified table name.
    key
        Columns of the primary key.
    columns
        Column name to SQL type; among them `revision` and `origin`.
    """
    return BulkTable(name, columns, _replacing(name.rpartition(".")[2], key, columns), distinct_on=key)


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


WINDOWS: Final = stream_table(
    "telemetry.window_features",
    ("device_id", "window_start"),
    {
        "device_id": "text",
        "window_start": "timestamptz",
        **{column.name: _SQL_TYPES[column.dtype] for column in FEATURE_COLUMNS},
        "anomaly_score": "float8",
        "model_version": "text",
        "feature_version": "text",
        "provisional": "bool",
        "revision": "int8",
        "origin": "text",
    },
)
ANOMALIES: Final = stream_table(
    "telemetry.anomalies",
    ("device_id", "kind", "window_start", "started_at"),
    {
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
        "extreme_value": "float8",
        "extreme_unit": "text",
        "feature_version": "text",
        "model_version": "text",
        "provisional": "bool",
        "revision": "int8",
        "origin": "text",
    },
)


@dataclass(frozen=True)
class TableRows:
    """Rows for a table made with `stream_table`, as columns.

    Attributes
    ----------
    columns
        By name, all of the table's but `revision`, `origin` and `provisional`, which `provisional` decides. Instants
        are microseconds since 1970; a device is best a `Text`: numbers and the names they count.
    provisional
        Whether final rows may follow (revision 1) or these are final (revision 2).
    new
        Whether no row of these keys should be there yet, but for a repeat: then they are appended, at half the cost.
    """

    table: BulkTable
    columns: Mapping[str, Column]
    provisional: bool = False
    new: bool = True

    def __len__(self) -> int:
        """Return the number of rows."""
        return row_count(self.columns)

    def whole(self) -> dict[str, Column]:
        """Return all columns of the table."""
        revision = PROVISIONAL_REVISION if self.provisional else FINAL_REVISION
        standing = {"provisional": self.provisional, "revision": revision, "origin": ORIGIN}
        return {name: standing[name] if name in standing else self.columns[name] for name in self.table.columns}


def by_table(parts: Iterable[TableRows]) -> list[tuple[BulkTable, dict[str, Column], bool]]:
    """Put rows of one table below each other: (table, columns, whether all are new), later rows last."""
    of_table: dict[str, list[TableRows]] = {}
    for part in parts:
        if len(part):
            of_table.setdefault(part.table.name, []).append(part)
    found = []
    for mine in of_table.values():
        wholes = [(part.whole(), len(part)) for part in mine]
        columns = {name: stacked([(whole[name], n) for whole, n in wholes]) for name in mine[0].table.columns}
        found.append((mine[0].table, columns, all(part.new for part in mine)))
    return found


def window_rows(made: ScoredRows) -> TableRows:
    """Return rows for `WINDOWS`."""
    rows, derived = made.derived.windows, made.derived
    columns: dict[str, Column] = {
        "device_id": Text(rows.device, derived.device_ids),
        "window_start": rows.start_us,
        **{column.name: rows[column.name] for column in FEATURE_COLUMNS},
        "anomaly_score": made.score,
        "model_version": made.version,
        "feature_version": FEATURE_VERSION,
    }
    new = not (derived.provisional or derived.superseded)
    return TableRows(WINDOWS, columns, derived.provisional, new)


def anomaly_rows(made: ScoredRows) -> TableRows:
    """Return rows for `ANOMALIES`."""
    events, derived = made.derived.events, made.derived
    columns: dict[str, Column] = {
        "device_id": Text(events.device, derived.device_ids),
        "kind": events.kind,
        "window_start": window_start_us(events.start_us),
        "started_at": events.start_us,
        "ended_at": events.start_us + np.rint(events.duration_ms * 1_000).astype(np.int64),
        "duration_ms": events.duration_ms,
        "peak_g": events.peak_g,
        "direction_x": events.direction_x,
        "direction_y": events.direction_y,
        "direction_z": events.direction_z,
        "severity": [spike_severity(peak_g) for peak_g in events.peak_g.tolist()],
        "extreme_value": events.peak_g,
        "extreme_unit": "[g]",
        "feature_version": FEATURE_VERSION,
        "model_version": made.judged_by or None,
    }
    # Few, and an event may come again: appending would gain nothing.
    return TableRows(ANOMALIES, columns, derived.provisional, new=False)


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
            "model_version": made.judged_by[i] if made.judged_by else None,
            "provisional": provisional,
            "revision": PROVISIONAL_REVISION if provisional else FINAL_REVISION,
        }
        for i, (device, start_us, duration_ms, peak_g) in enumerate(zip(*columns, strict=True))
    ]


def anomaly_key(event: Mapping[str, Any]) -> str:
    """Return what an event is one of: device, kind, start; a later revision is another word of the same."""
    return f"{event['device_id']}:{event['kind']}:{event['start_us']}"


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
