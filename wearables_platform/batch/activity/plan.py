"""What to aggregate: the files of the lake's manifests, and the local days cut by who wore which device."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wearables_platform.domain.groups import CUT_POINTS, CutPoints
from wearables_platform.domain.time_policy import EPOCH, US_PER_S
from wearables_platform.partitions import neighbours
from wearables_platform.wire.lake_schemas import WEAR_DATASET, WINDOWS_DATASET

if TYPE_CHECKING:  # a Spark job that is handed its plan needs no store
    from wearables_platform.clients.lake import Lake
    from wearables_platform.clients.sql import SqlClient


@dataclass(frozen=True)
class PlannedFile:
    """A file of a manifest: where a person or Spark finds it, and its key and size in the lake."""

    address: str
    path: str
    size_bytes: int


@dataclass(frozen=True)
class LocalDay:
    """A person's local day; the instants are seconds since 1970, the end exclusive."""

    participant_id: str
    time_zone: str
    local_day: str
    begins_s: int
    ends_s: int

    @property
    def minutes(self) -> int:
        """Return how long the day is."""
        return (self.ends_s - self.begins_s) // 60


@dataclass(frozen=True)
class Span:
    """A device counts for local day number `day` where its windows begin in [from_s, to_s)."""

    device_id: str
    from_s: int
    to_s: int
    day: int


@dataclass(frozen=True)
class Plan:
    """Everything an engine needs to know; as JSON it is what a Spark job is handed.

    Attributes
    ----------
    first_s, end_s
        The UTC span whose hours are wanted.
    windows, wear
        The files, each listed by a manifest.
    days, spans
        The local days wanted and who counts for them; empty where only hours are wanted.
    """

    first_s: int
    end_s: int
    windows: tuple[PlannedFile, ...]
    wear: tuple[PlannedFile, ...]
    cut_points: str
    days: tuple[LocalDay, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def limits(self) -> CutPoints:
        """Return the cut points by their name."""
        return CUT_POINTS[self.cut_points]

    def tables(self) -> dict[str, pa.Table]:
        """Return spans, days and minutes as the definition wants them."""
        spans = {
            "device_id": pa.array([span.device_id for span in self.spans], pa.string()),
            "from_s": pa.array([span.from_s for span in self.spans], pa.int64()),
            "to_s": pa.array([span.to_s for span in self.spans], pa.int64()),
            "day": pa.array([span.day for span in self.spans], pa.int64()),
            "begins_s": pa.array([self.days[span.day].begins_s for span in self.spans], pa.int64()),
        }
        days = {
            "day": pa.array(range(len(self.days)), pa.int64()),
            "minutes": pa.array([day.minutes for day in self.days], pa.int64()),
        }
        longest = max((day.minutes for day in self.days), default=0)
        minutes = {"minute": pa.array(range(longest), pa.int64())}
        return {"spans": pa.table(spans), "days": pa.table(days), "minutes": pa.table(minutes)}

    def to_json(self) -> str:
        """Write the plan."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan back."""
        kinds = {"windows": PlannedFile, "wear": PlannedFile, "days": LocalDay, "spans": Span}
        found = json.loads(text)
        return cls(**found | {name: tuple(kind(**one) for one in found[name]) for name, kind in kinds.items()})


def plan_hours(lake: Lake, utc_days: Sequence[str], cut_points: CutPoints) -> Plan:
    """Plan the hours of consecutive UTC days."""
    first, end = _bounds_s(utc_days)
    windows, wear = (_files(lake, dataset, utc_days) for dataset in (WINDOWS_DATASET, WEAR_DATASET))
    return Plan(first, end, windows, wear, cut_points.name)


def plan_days(lake: Lake, sql: SqlClient, utc_days: Sequence[str], cut_points: CutPoints) -> Plan:
    """Plan the hours of consecutive UTC days and every local day that touches them.

    A local day reaches into the UTC days beside; their files are read, too.
    """
    first, end = _bounds_s(utc_days)
    around = neighbours(utc_days)
    windows, wear = (_files(lake, dataset, around) for dataset in (WINDOWS_DATASET, WEAR_DATASET))
    counted = _counted(sql, around, datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(end, UTC))
    days, spans = planned_spans(counted)
    return Plan(first, end, windows, wear, cut_points.name, days, spans)


def planned_spans(counted: Iterable[Mapping[str, Any]]) -> tuple[tuple[LocalDay, ...], tuple[Span, ...]]:
    """Turn rows of ``platform.counted_days`` into days and spans of whole seconds."""
    rows = sorted(counted, key=lambda row: (row["device_id"], row["from_time"], row["participant_id"]))
    keys = sorted({(row["participant_id"], row["local_day"]) for row in rows})
    number = {key: place for place, key in enumerate(keys)}
    days: dict[int, LocalDay] = {}
    spans: list[Span] = []
    for row in rows:
        place = number[(row["participant_id"], row["local_day"])]
        begins, ends, since, until = (_second(row[name]) for name in ("begins", "ends", "from_time", "to_time"))
        days[place] = LocalDay(row["participant_id"], row["time_zone"], str(row["local_day"]), begins, ends)
        spans += [Span(row["device_id"], since, until, place)] if since < until else []
    return tuple(days[place] for place in range(len(keys))), tuple(spans)


def _bounds_s(utc_days: Sequence[str]) -> tuple[int, int]:
    first, last = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (min(utc_days), max(utc_days)))
    return _second(first), _second(last + timedelta(days=1))


def _second(moment: datetime) -> int:
    """Return the first whole second at or after an instant: windows begin with whole seconds."""
    return -((EPOCH - moment) // timedelta(microseconds=1) // US_PER_S)


def _files(lake: Lake, dataset: str, days: Sequence[str]) -> tuple[PlannedFile, ...]:
    manifests = [lake.manifest(dataset, day) for day in days]
    files = [file for manifest in manifests if manifest for file in manifest.files]
    return tuple(PlannedFile(lake.address(file.path), file.path, file.size_bytes) for file in files)


def _counted(sql: SqlClient, around: Sequence[str], first: datetime, end: datetime) -> list[dict[str, Any]]:
    query = "SELECT * FROM platform.counted_days(%s, %s, %s) WHERE begins < %s AND ends > %s"
    return sql.rows(query, (around[0], around[-1], "activity", end, first))
