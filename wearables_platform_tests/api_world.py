"""A small world for the API's tests: people, devices and rows as the batch side and the stream write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

REGISTERED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
TOKEN = "operator-token-of-the-tests"
LONDON_TOKEN = "a-token-that-may-see-the-london-study"


@dataclass(frozen=True)
class World:
    """Writes rows into a migrated database of the test's own."""

    sql_url: str

    def execute(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with psycopg.connect(self.sql_url) as connection:
            connection.cursor().executemany(statement, rows)

    def study(self, study_id: str) -> None:
        self.execute("INSERT INTO registry.studies VALUES (%s, %s)", [(study_id, study_id)])

    def person(self, person: str, study_id: str, *, birth_year: int = 1990, zone: str = "UTC") -> str:
        """Enrol a participant and the device they wear, `{person}-watch`."""
        device_id = f"{person}-watch"
        self.execute(
            "INSERT INTO registry.participants VALUES (%s, %s, %s, 'unknown', %s, %s)",
            [(person, study_id, birth_year, zone, REGISTERED)],
        )
        self.execute(
            "INSERT INTO registry.devices (device_id, registered_at) VALUES (%s, %s)", [(device_id, REGISTERED)]
        )
        self.execute(
            "INSERT INTO registry.assignments (device_id, participant_id, valid_from) VALUES (%s, %s, %s)",
            [(device_id, person, REGISTERED)],
        )
        return device_id

    def heart_rates(self, device_id: str, readings: Sequence[tuple[datetime, float]]) -> None:
        self.execute(
            "INSERT INTO telemetry.heart_rate VALUES (%s, %s, %s, 'd:0:0', 1, 'batch', 'test')",
            [(device_id, time, bpm) for time, bpm in readings],
        )

    def day(self, person: str, day: date, steps: int | None, *, zone: str, final: bool = True, bpm: float = 60) -> None:
        self.execute(
            "INSERT INTO telemetry.daily_summary (participant_id, local_day, time_zone, hours_in_day, step_count,"
            " step_coverage, heart_rate_mean_bpm, heart_rate_min_bpm, heart_rate_max_bpm, heart_rate_readings,"
            " resting_heart_rate_bpm, final, revision, origin)"
            " VALUES (%s, %s, %s, 24, %s, 0.5, %s, 50, 90, 12, 52, %s, 1, 'batch')",
            [(person, day, zone, steps, bpm, final)],
        )

    def windows(self, device_id: str, start: datetime, count: int) -> None:
        self.execute(
            "INSERT INTO telemetry.window_features (device_id, window_start, n_samples, rate_hz, coverage, enmo_mg,"
            " glitches, clipped, flags, feature_version, provisional, revision, origin)"
            " VALUES (%s, %s, 100, 100, 1, %s, 0, 0, 0, '1', false, 2, 'stream')",
            [(device_id, start + timedelta(seconds=second), float(second)) for second in range(count)],
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
