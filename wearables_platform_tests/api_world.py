"""A small world for the API's tests: people, devices and rows as the batch side and the stream write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

REGISTERED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TOKEN = "operator-token-of-the-tests"
LONDON_TOKEN = "a-token-that-may-see-the-london-study"


def _noon(day: date) -> datetime:
    """When a day's rows are written here: while it lasts, so that what was said then can be told from what is."""
    return datetime.combine(day, time(12), UTC)


@dataclass(frozen=True)
class World:
    """Writes rows into a migrated database of the test's own."""

    sql_url: str

    def execute(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with psycopg.connect(self.sql_url) as connection:
            connection.cursor().executemany(statement, rows)

    def study(self, study_id: str) -> None:
        self.execute("INSERT INTO registry.studies VALUES (%s, %s)", [(study_id, study_id)])

    def person(
        self,
        person: str,
        study_id: str,
        *,
        birth_year: int = 1990,
        zone: str = "UTC",
        sex: str = "unknown",
        model: str = "unknown",
    ) -> str:
        """Enrol a participant and the device they wear, `{person}-watch`."""
        device_id = f"{person}-watch"
        self.execute(
            "INSERT INTO registry.participants VALUES (%s, %s, %s, %s, %s, %s)",
            [(person, study_id, birth_year, sex, zone, REGISTERED)],
        )
        self.execute(
            "INSERT INTO registry.devices (device_id, device_model, registered_at) VALUES (%s, %s, %s)",
            [(device_id, model, REGISTERED)],
        )
        self.execute(
            "INSERT INTO registry.assignments (device_id, participant_id, valid_from) VALUES (%s, %s, %s)",
            [(device_id, person, REGISTERED)],
        )
        return device_id

    def people(self, names: Sequence[str], study_id: str, model: str) -> list[str]:
        """Enrol many participants and their devices at once."""
        devices = [f"{name}-watch" for name in names]
        with psycopg.connect(self.sql_url) as connection:
            connection.execute(
                "INSERT INTO registry.participants SELECT name, %s, 1990, 'unknown', 'UTC', %s"
                " FROM unnest(%s::text[]) name",
                [study_id, REGISTERED, list(names)],
            )
            connection.execute(
                "INSERT INTO registry.devices (device_id, device_model, registered_at)"
                " SELECT name, %s, %s FROM unnest(%s::text[]) name",
                [model, REGISTERED, devices],
            )
            connection.execute(
                "INSERT INTO registry.assignments (device_id, participant_id, valid_from)"
                " SELECT device, name, %s FROM unnest(%s::text[], %s::text[]) both_of (device, name)",
                [REGISTERED, devices, list(names)],
            )
        return devices

    def heart_rates(self, device_id: str, readings: Sequence[tuple[datetime, float]]) -> None:
        self.execute(
            "INSERT INTO telemetry.heart_rate VALUES (%s, %s, %s, 'd:0:0', 1, 'batch', 'test')",
            [(device_id, time, bpm) for time, bpm in readings],
        )

    def day(self, person: str, day: date, steps: int | None, *, zone: str, final: bool = True, bpm: float = 60) -> None:
        self.execute(
            "INSERT INTO telemetry.daily_summary (participant_id, local_day, time_zone, hours_in_day, step_count,"
            " step_coverage, heart_rate_mean_bpm, heart_rate_min_bpm, heart_rate_max_bpm, heart_rate_readings,"
            " resting_heart_rate_bpm, final, revision, origin, written_at)"
            " VALUES (%s, %s, %s, 24, %s, 0.5, %s, 50, 90, 12, 52, %s, 1, 'batch', %s)",
            [(person, day, zone, steps, bpm, final, _noon(day))],
        )

    def steps(self, device_id: str, spans: Sequence[tuple[datetime, timedelta, int]]) -> None:
        self.execute(
            "INSERT INTO telemetry.steps VALUES (%s, %s, %s, %s, 'd:0:0', 1, 'batch', 'test')",
            [(device_id, start, start + length, steps) for start, length, steps in spans],
        )

    def activity(
        self, person: str, day: date, *, mvpa_s: int, steps: int, status: str = "valid", final: bool = True
    ) -> None:
        self.execute(
            "INSERT INTO telemetry.daily_activity (participant_id, local_day, time_zone, begins, ends, hours_in_day,"
            " device_ids, status, windows, coverage, worn_s, not_worn_s, wear_unknown_s, unclassified_s, steps,"
            " sedentary_s, light_s, moderate_s, vigorous_s, mvpa_s, enmo_used_mean_mg, cut_points, definition_version,"
            " final, engine, run_id, revision, origin, written_at)"
            " SELECT participant_id, %s, time_zone, %s::timestamp AT TIME ZONE time_zone,"
            " (%s + 1)::timestamp AT TIME ZONE time_zone, 24, ARRAY[participant_id || '-watch'], %s, 40000, 0.5, 40000,"
            " 0, 0, 0, %s, 30000, 5000, %s, 0, %s, 31.5, 'test', '1', %s, 'test', 'r', 1, 'batch', %s"
            " FROM registry.participants WHERE participant_id = %s",
            [(day, day, day, status, steps, mvpa_s, mvpa_s, final, _noon(day), person)],
        )

    def hour(self, device_id: str, hour_start: datetime, steps: int) -> None:
        self.execute(
            "INSERT INTO telemetry.hourly_activity (device_id, hour_start, windows, coverage, steps, sedentary_s,"
            " light_s, moderate_s, vigorous_s, cut_points, revision, origin)"
            " VALUES (%s, %s, 3600, 1, %s, 3000, 500, 100, 0, 'test', 1, 'batch')",
            [(device_id, hour_start, steps)],
        )

    def reassign(self, device_id: str, person: str, at: datetime) -> None:
        """Let somebody else wear a device from an instant on."""
        self.execute(
            "UPDATE registry.assignments SET valid_to = %s WHERE device_id = %s AND valid_to = 'infinity'",
            [(at, device_id)],
        )
        self.execute(
            "INSERT INTO registry.assignments (device_id, participant_id, valid_from) VALUES (%s, %s, %s)",
            [(device_id, person, at)],
        )

    def segment(self, person: str, started_at: datetime, activity: str) -> None:
        self.execute(
            "INSERT INTO telemetry.activity_segments VALUES (%s, %s, %s, %s, %s, %s, 60, 0.9, 'v1', '1', 1, 'batch')",
            [(f"{person}-watch", started_at, started_at + timedelta(minutes=1), person, started_at.date(), activity)],
        )

    def unusual(self, person: str, started_at: datetime) -> None:
        self.execute(
            "INSERT INTO telemetry.unusual_periods VALUES (%s, %s, %s, %s, %s, 5, %s, 0.9, 0.8, 0.7, 0.99, 'own', 5000,"
            " '{enmo_mg,vm_std_g}', '{400,0.5}', '{20,0.1}', '{9.5,-4.5}', 'v1', '1', 1, 'batch')",
            [
                (
                    f"{person}-watch",
                    started_at,
                    started_at + timedelta(seconds=5),
                    person,
                    started_at.date(),
                    started_at,
                )
            ],
        )

    def windows(self, device_id: str, start: datetime, count: int, *, vm_g: float = 1.0) -> None:
        self.execute(
            "INSERT INTO telemetry.window_features (device_id, window_start, n_samples, rate_hz, coverage, enmo_mg,"
            " vm_min_g, vm_mean_g, vm_max_g, x_mean_g, y_mean_g, z_mean_g,"
            " glitches, clipped, flags, feature_version, provisional, revision, origin)"
            " VALUES (%s, %s, 100, 100, 1, %s, %s, %s, %s, 0, 0, 1, 0, 0, 0, '1', false, 2, 'stream')",
            [
                (device_id, start + timedelta(seconds=second), float(second), vm_g - 0.1, vm_g, vm_g + 0.1)
                for second in range(count)
            ],
        )

    def gap(self, device_id: str, after: datetime, first: int = 5) -> None:
        """Three messages that never came."""
        self.execute(
            "INSERT INTO quality.gaps VALUES (%s, '00000000000000ff', %s, %s, %s, %s, %s)",
            [(device_id, first, first + 2, after, after + timedelta(seconds=3), after + timedelta(seconds=9))],
        )

    def anomaly(self, device_id: str, kind: str, window_start: datetime, started_at: datetime) -> None:
        self.execute(
            "INSERT INTO telemetry.anomalies (device_id, kind, window_start, started_at, ended_at, duration_ms, peak_g,"
            " severity, feature_version, provisional, revision, origin)"
            " VALUES (%s, %s, %s, %s, %s, 40, 8.5, 'warning', '1', false, 2, 'stream')",
            [(device_id, kind, window_start, started_at, started_at + timedelta(milliseconds=40))],
        )


@dataclass(frozen=True)
class Caller:
    """Calls the API with a token and reads its answers."""

    client: FlaskClient
    token: str | None = TOKEN

    def get(self, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= options.pop("headers", {})
        return self.client.get(path, headers=headers, **options)

    def json(self, path: str, **parameters: Any) -> Any:
        response = self.get(path, query_string=parameters)
        assert response.status_code == 200, response.text
        return response.json

    def problem(self, path: str, status: int, **parameters: Any) -> Any:
        """Call, expecting a problem document with that status; returns it."""
        response = self.get(path, query_string=parameters)
        assert response.status_code == status, response.text
        assert response.mimetype == "application/problem+json"
        problem = response.json
        assert problem is not None
        assert problem["status"] == status
        assert problem["request_id"] == response.headers["X-Request-ID"]
        return problem

    def all_pages(self, path: str, **parameters: Any) -> list[Any]:
        items: list[Any] = []
        cursor: str | None = None
        while True:
            page = self.json(path, **parameters, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items
            assert page["items"], "a page with a next one is never empty"
