"""Three people and their watches, whose weeks are known: what the questions in `docs/sql.md` are asked of.

====  ================  ========  ====================================================================
ada   Europe/Berlin     Aero 2    10,000 steps a day, 4,000 this week, always worn; heart rate at rest up
ben   America/New_York  Bolt 1     8,000 steps a day, 1,000 this week, worn three hours a day; half the data
cleo  Asia/Kolkata      Aero 2     7,000 steps a day, always; no data ten days ago
====  ================  ========  ====================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from stream.rows import ANOMALIES, WINDOWS
from wearables_platform.clients.sql import BulkTable, Json, SqlClient

ZONES: Final = {"ada": "Europe/Berlin", "ben": "America/New_York", "cleo": "Asia/Kolkata"}
MODELS: Final = {"ada": "Aero 2", "ben": "Bolt 1", "cleo": "Aero 2"}
STUDY: Final = "cookbook"
LONG_DAY: Final = date(2025, 10, 26)


def steps_of(person: str, back: int) -> int:
    if person == "cleo":
        return 7_000
    usual, now = {"ada": (10_000, 4_000), "ben": (8_000, 1_000)}[person]
    return now if back <= 7 else usual


def fill(client: SqlClient, today: date) -> None:
    """Write everything; `today` is the database's current date."""
    for statement in (
        f"INSERT INTO registry.studies VALUES ('{STUDY}', 'Cookbook')",
        "INSERT INTO quality.gaps VALUES ('w-ben', '00', 5, 14, now() - interval '2 days', now() - interval '1 day',"
        " now())",
    ):
        client.execute(statement)
    for person, zone in ZONES.items():
        client.execute(
            "INSERT INTO registry.participants VALUES (%s, %s, 1980, 'unknown', %s, '2025-01-01')",
            (person, STUDY, zone),
        )
        client.execute("INSERT INTO registry.devices VALUES (%s, %s, '2025-01-01')", (f"w-{person}", MODELS[person]))
        client.execute("INSERT INTO registry.assignments VALUES (%s, %s, '2025-01-01')", (f"w-{person}", person))
        for back in range(1, 36):
            if (person, back) != ("cleo", 10):
                _write_day(client, person, today, back)
    _write_windows(client, today)
    _write_events(client, today)
    _write_the_rest(client, today)


def insert(client: SqlClient, table: str, **values: Any) -> None:
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    client.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values()))


def _write_day(client: SqlClient, person: str, today: date, back: int) -> None:
    day = today - timedelta(days=back)
    short = person == "ben" and back <= 7
    _write_activity(client, person, day, steps_of(person, back), worn_h=3 if short else 16)
    insert(
        client, "telemetry.daily_summary", participant_id=person, local_day=day, time_zone=ZONES[person],
        hours_in_day=24, step_count=steps_of(person, back), step_coverage=0.9, heart_rate_readings=1000,
        final=back > 1, revision=1, origin="batch",
    )  # fmt: skip
    # Up and down by one, day by day; ada's are three beats higher this week.
    resting = 60 + (-1) ** back + (3 if person == "ada" and back <= 7 else 0)
    insert(
        client, "telemetry.daily_heart_rate", participant_id=person, local_day=day, time_zone=ZONES[person],
        hours_in_day=24, readings=1000, covered_s=43_200, coverage=0.1 if short else 0.5, mean_bpm=70, min_bpm=50,
        max_bpm=150, resting_bpm=resting, resting_method="p05_worn_still", resting_readings=100,
        zone_definition="zones", zones_missing_because="no_age", status="final", revision=1, origin="batch",
        definition_version="1", run_id="r",
    )  # fmt: skip


def _write_activity(client: SqlClient, person: str, day: date, steps: int, *, worn_h: int, hours: int = 24) -> None:
    begins = datetime.combine(day, time(), ZoneInfo(ZONES[person]))
    insert(
        client, "telemetry.daily_activity", participant_id=person, local_day=day, time_zone=ZONES[person],
        begins=begins, ends=begins + timedelta(days=1), hours_in_day=hours, device_ids=[f"w-{person}"],
        status="valid" if worn_h >= 10 else "short", windows=worn_h * 3600, coverage=worn_h / hours,
        worn_s=worn_h * 3600, not_worn_s=0, wear_unknown_s=0, unclassified_s=0, steps=steps, cut_points="c",
        definition_version="1", final=True, engine="duckdb", run_id="r", revision=1, origin="batch",
    )  # fmt: skip


def _windows_of(person: str, today: date) -> Iterator[dict[str, Any]]:
    """From 14 days ago two hours a day: 07:00 and 15:00 local, the second twice as active; of ben each other second."""
    for back in range(1, 15):
        for hour, enmo_mg in ((7, 40.0), (15, 80.0)):
            begin = datetime.combine(today - timedelta(days=back), time(hour), ZoneInfo(ZONES[person]))
            for second in range(0, 3600, 2 if person == "ben" else 1):
                yield _window(f"w-{person}", begin + timedelta(seconds=second), enmo_mg, provisional=back == 1)


def _window(device_id: str, at: datetime, enmo_mg: float, *, provisional: bool = False) -> dict[str, Any]:
    revision, origin = (1, "stream") if provisional else (2, "stream")
    return {
        "device_id": device_id, "window_start": at.astimezone(UTC), "n_samples": 100, "rate_hz": 100.0, "coverage": 1.0,
        "enmo_mg": enmo_mg, "steps": 1, "glitches": 0, "clipped": 0, "flags": 0, "feature_version": "2",
        "provisional": provisional, "revision": revision, "origin": origin,
    }  # fmt: skip


def _put(client: SqlClient, table: BulkTable, rows: Iterator[dict[str, Any]]) -> None:
    client.upsert(table, [[row.get(column) for column in table.columns] for row in rows])


def night_quarters(today: date) -> Iterator[datetime]:
    """Quarters of an hour of a night of ada's, 23:00 to 07:00 by her clock: 28 or 36 of them where it changes."""
    begins, ends = (
        datetime.combine(today - timedelta(days=back), time(hour), ZoneInfo(ZONES["ada"])).astimezone(UTC)
        for back, hour in ((3, 23), (2, 7))
    )
    while begins < ends:
        yield begins
        begins += timedelta(minutes=15)


def _write_windows(client: SqlClient, today: date) -> None:
    for person in ZONES:
        _put(client, WINDOWS, _windows_of(person, today))
    # A night of ada's, of which she wore the watch for four hours.
    for quarter, begins in enumerate(night_quarters(today)):
        insert(
            client, "telemetry.wear", device_id="w-ada", window_start=begins,
            state="worn" if quarter < 16 else "not_worn", seconds=900, still_axes=0, feature_version="2",
            provisional=False, revision=2, origin="stream",
        )  # fmt: skip


def _event(device_id: str, kind: str, at: datetime, peak_g: float | None = None) -> dict[str, Any]:
    return {
        "device_id": device_id, "kind": kind, "window_start": at, "started_at": at,
        "ended_at": at + timedelta(seconds=1), "duration_ms": 1000.0, "peak_g": peak_g, "severity": "warning",
        "feature_version": "2", "provisional": False, "revision": 2, "origin": "stream",
    }  # fmt: skip


def _write_events(client: SqlClient, today: date) -> None:
    """Eight days ago, the evening before her quiet week, ada's heart raced; twenty days ago she fell and lay still."""
    evening, fall = (datetime.combine(today - timedelta(days=back), time(18), UTC) for back in (8, 20))
    _put(client, ANOMALIES, iter([
        _event("w-ada", "high_heart_rate_at_rest", evening),
        _event("w-cleo", "high_heart_rate_at_rest", evening),
        _event("w-ada", "spike", fall, 6.0),
        _event("w-cleo", "spike", fall, 6.0),
    ]))  # fmt: skip
    around = [second for second in range(-5, 7) if second not in (0, 1)]
    _put(client, WINDOWS, (
        _window(device_id, fall + timedelta(seconds=second), after if second > 0 else 50.0)
        for device_id, after in (("w-ada", 2.0), ("w-cleo", 60.0))
        for second in around
    ))  # fmt: skip


def _write_the_rest(client: SqlClient, today: date) -> None:
    monday = today - timedelta(days=today.weekday() + 7)
    insert(
        client, "telemetry.weekly_trend", participant_id="ada", week_start=monday, measure="resting_heart_rate",
        unit="/min", valid_days=28, week_valid_days=7, min_valid_days=14, slope_per_week=0.8, slope_low_per_week=0.4,
        slope_high_per_week=1.1, kendall_tau=0.5, p_value=0.001, week_median=63, status="final", revision=1,
        origin="batch", definition_version="1", run_id="r",
    )  # fmt: skip
    insert(
        client, "telemetry.cohort_baselines", month_start=LONG_DAY.replace(day=1), study_id=STUDY, dimension="study",
        member=STUDY, measure="steps", unit="steps", n_people=12, person_days=300, mean=8000, mean_low=7000,
        mean_high=9000, p05=3000, p25=6000, median=8000, p75=10_000, p95=13_000, min_group_size=5, hidden=False,
        status="final", revision=1, origin="batch", definition_version="1", run_id="r",
    )  # fmt: skip
    _write_activity(client, "ada", LONG_DAY, 5_000, worn_h=16, hours=25)
    corrected = datetime.combine(today - timedelta(days=2), time(15), ZoneInfo(ZONES["ada"])).astimezone(UTC)
    for second in range(2):
        at = corrected + timedelta(seconds=second)
        before = {**_window("w-ada", at, 50.0), "superseded_at": at, "superseded_because": "late"}
        insert(client, "telemetry.window_features_history", **before)
        insert(
            client, "quality.dirty_windows", device_id="w-ada", window_start=at, cause="late", message_id=f"m:{second}",
            noticed_append_time=at, resolved_revision=None if second else 3,
        )  # fmt: skip
    for activity, hour, minutes in (("walking", 9, 90), ("sitting", 12, 240), ("walking", 18, 30)):
        begin = datetime.combine(today - timedelta(days=2), time(hour), UTC)
        insert(
            client, "telemetry.activity_segments", device_id="w-ada", started_at=begin,
            ended_at=begin + timedelta(minutes=minutes), participant_id="ada", local_day=today - timedelta(days=2),
            activity=activity, windows=minutes * 60, confidence=0.9, model_version="1", feature_version="2",
            revision=1, origin="batch",
        )  # fmt: skip
    for number, device_id in enumerate(("w-ada", "w-ada", "w-ben")):
        insert(
            client, "quality.rejected_readings", quantity="heart_rate", message_id=f"m:{number}", reading_number=0,
            device_id=device_id, time=corrected, value=300, rule="out_of_range", detail="",
        )  # fmt: skip
    client.execute("UPDATE telemetry.anomalies SET detail = %s", (Json({}),))
