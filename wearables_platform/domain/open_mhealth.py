"""Data points of Open mHealth and IEEE 1752.1: what the platform knows, in the words other systems read.

A data point is a header (IEEE 1752.1 `header:1.0`) and a body that conforms to the schema the header names. What the
standards have no field for stands in one object of the header, `wearables_platform`: the schemas allow it, and a reader
who does not know it loses nothing else. `docs/interoperability.md` has the mapping and what is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

Row = Mapping[str, Any]
DataPoint = dict[str, Any]
PointOf = Callable[[Row], DataPoint]

# Made once (RFC 4122, version 4) and never changed: the ids of all data points are derived from it.
_NAMESPACE: Final = UUID("eae7e2da-72dc-4106-ae44-f2bd9c52972b")
# The intensity of a window and what a model says of it are told once a second.
_ONE_SECOND_WINDOWS: Final = {"value": 1, "unit": "Hz"}
_DATASHEETS: Final = "urn:wearables-platform:"


def heart_rate_point(row: Row) -> DataPoint:
    """Return a clean heart-rate reading as `omh:heart-rate:2.0`.

    Parameters
    ----------
    row
        A row of the query `export_heart_rate_readings`.

    Examples
    --------
    >>> from datetime import UTC
    >>> row = {"device_id": "w1", "participant_id": "p1", "study_id": "s", "time_zone": "Europe/Paris",
    ...        "time": datetime(2026, 3, 30, 10, tzinfo=UTC), "heart_rate_bpm": 61.5,
    ...        "revision": 1, "origin": "batch", "cleaned_by": "7"}
    >>> heart_rate_point(row)["body"]["heart_rate"], heart_rate_point(row)["body"]["effective_time_frame"]
    ({'value': 61.5, 'unit': 'beats/min'}, {'date_time': '2026-03-30T12:00:00+02:00'})
    """
    at = _local(row["time"], row)
    body = {
        "heart_rate": {"value": row["heart_rate_bpm"], "unit": "beats/min"},
        "effective_time_frame": {"date_time": at},
    }
    header = _header(
        ("omh", "heart-rate", "2.0"),
        row,
        key=(row["device_id"], row["time"]),
        created=at,
        software=_cleaning(row),
        extra=_of_a_reading(row),
    )
    return {"header": header, "body": body}


def step_count_point(row: Row) -> DataPoint:
    """Return a reported span of steps as `omh:step-count:3.0`.

    Parameters
    ----------
    row
        A row of the query `export_step_spans`.
    """
    start, end = _local(row["start_time"], row), _local(row["end_time"], row)
    body = {
        "step_count": {"value": row["step_count"], "unit": "steps"},
        "effective_time_frame": _interval(start, end),
    }
    header = _header(
        ("omh", "step-count", "3.0"),
        row,
        key=(row["device_id"], row["start_time"]),
        # The watch can say how many only when the span is over.
        created=end,
        software=_cleaning(row),
        extra=_of_a_reading(row),
    )
    return {"header": header, "body": body}


def daily_activity_point(row: Row) -> DataPoint:
    """Return the activity of a local day as `ieee:physical-activity:1.0`, summed.

    Parameters
    ----------
    row
        A row of the query `export_worn_days`: of a day on which the device was worn.
    """
    start, end = _local(row["begins"], row), _local(row["ends"], row)
    active_s = row["light_s"] + row["moderate_s"] + row["vigorous_s"]
    body = {
        "activity_name": "physical activity",
        "base_movement_quantity": {"value": row["steps"], "unit": "steps"},
        "effective_time_frame": _interval(start, end),
        "duration": _seconds(active_s),
        "duration_light_activity": _seconds(row["light_s"]),
        "duration_moderate_activity": _seconds(row["moderate_s"]),
        "duration_vigorous_activity": _seconds(row["vigorous_s"]),
        "descriptive_statistic": "sum",
    }
    if row["steps"] is None:
        del body["base_movement_quantity"]
    extra = {
        "status": "final" if row["final"] else "provisional",
        "wear": row["status"],
        **{
            name: row[name]
            for name in ("coverage", "worn_s", "sedentary_s", "mvpa_bout_10min_s", "enmo_used_mean_mg", "device_ids")
        },
    }
    header = _header(
        ("ieee", "physical-activity", "1.0"),
        row,
        key=("day", row["participant_id"], row["begins"]),
        created=end,
        software=[f"aggregates:{row['definition_version']}", f"cut-points:{row['cut_points']}"],
        extra=extra,
        rate=_ONE_SECOND_WINDOWS,
    )
    return {"header": header, "body": body}


def activity_episode_point(row: Row) -> DataPoint:
    """Return consecutive seconds of one activity, as a model tells it, as `ieee:physical-activity:1.0`.

    Parameters
    ----------
    row
        A row of the query `export_activity_segments`.
    """
    start, end = _local(row["started_at"], row), _local(row["ended_at"], row)
    body = {
        "activity_name": row["activity"].replace("_", " "),
        "effective_time_frame": _interval(start, end),
        "duration": _seconds(row["duration_s"]),
    }
    header = _header(
        ("ieee", "physical-activity", "1.0"),
        row,
        key=("episode", row["device_id"], row["started_at"]),
        created=end,
        software=[f"model:activity_class:{row['model_version']}"],
        extra={"device_id": row["device_id"], "confidence": row["confidence"]},
        rate=_ONE_SECOND_WINDOWS,
    )
    return {"header": header, "body": body}


def _header(
    schema: tuple[str, str, str],
    row: Row,
    *,
    key: tuple[Any, ...],
    created: str,
    software: list[str],
    extra: dict[str, Any],
    rate: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a header. `key` is what the row is of; a corrected row is another data point, as the standard wants it."""
    namespace, name, version = schema
    header = {
        "uuid": _uuid(schema, key, row["revision"]),
        "schema_id": {"namespace": namespace, "name": name, "version": version},
        "source_creation_date_time": created,
        "modality": "sensed",
        "acquisition_rate": rate,
        "external_datasheets": [
            {"datasheet_type": "software", "datasheet_reference": _DATASHEETS + one} for one in software
        ],
        # From omh:header, which IEEE 1752.1 left out: whose it is. A pseudonym.
        "user_id": row["participant_id"],
        "wearables_platform": {
            "study_id": row["study_id"],
            "revision": row["revision"],
            "origin": row["origin"],
            **extra,
        },
    }
    if rate is None:
        del header["acquisition_rate"]
    return header


def _uuid(schema: tuple[str, ...], key: tuple[Any, ...], revision: int) -> str:
    """Derive the id, so that an export made again gives the same ids and importing it twice changes nothing."""
    parts = (*schema, *(one.isoformat() if isinstance(one, datetime) else one for one in key), revision)
    return str(uuid5(_NAMESPACE, "|".join(map(str, parts))))


def _cleaning(row: Row) -> list[str]:
    return [f"cleaning:{row['cleaned_by']}"]


def _of_a_reading(row: Row) -> dict[str, Any]:
    return {"device_id": row["device_id"]}


def _local(at: datetime, row: Row) -> str:
    """Write an instant with the person's own offset, so that their day can be read off it."""
    return at.astimezone(ZoneInfo(row["time_zone"])).isoformat()


def _interval(start: str, end: str) -> dict[str, Any]:
    return {"time_interval": {"start_date_time": start, "end_date_time": end}}


def _seconds(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "sec"}
