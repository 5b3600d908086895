"""The migrations run from nothing to the current schema, once."""

import os

import psycopg
import pytest

from wearables_platform.domain.groups import age_band
from wearables_platform.sql.migrate import MIGRATIONS, migrate
from wearables_platform_tests.servers import fresh_database

pytestmark = [pytest.mark.sql, pytest.mark.integration]


def test_migrating_twice_applies_each_migration_once(postgres_url: str) -> None:
    names = sorted(path.stem for path in MIGRATIONS.glob("*.sql"))
    assert migrate(postgres_url) == names
    assert migrate(postgres_url) == []


def test_age_bands_are_the_same_in_sql_and_python(sql_url: str) -> None:
    with psycopg.connect(sql_url) as connection:
        rows = connection.execute("SELECT age, platform.age_band(age) FROM generate_series(0, 110) AS age").fetchall()
    assert rows == [(age, age_band(age)) for age in range(111)]


def test_local_days_are_cut_where_clocks_change_and_devices_change_hands(sql_url: str) -> None:
    with psycopg.connect(sql_url) as connection:
        connection.execute(
            "INSERT INTO registry.studies VALUES ('local-days', 'Local days');"
            "INSERT INTO registry.participants VALUES"
            " ('berliner', 'local-days', 1980, 'unknown', 'Europe/Berlin', '2026-01-01'),"
            " ('nobody', 'local-days', 1980, 'unknown', 'Asia/Kolkata', '2026-01-01');"
            "INSERT INTO registry.devices (device_id, registered_at) VALUES"
            " ('ld-1', '2026-01-01'), ('ld-2', '2026-01-01');"
            "INSERT INTO registry.assignments VALUES"
            " ('ld-1', 'berliner', '2026-01-01 00:00+00', '2026-03-29 08:30+00'),"
            " ('ld-2', 'berliner', '2026-03-29 09:00+00', 'infinity')"
        )
        days = connection.execute(
            "SELECT participant_id, local_day::text, extract(epoch FROM ends - begins)::integer / 3600, device_id,"
            " to_char(from_time AT TIME ZONE 'UTC', 'DD HH24:MI'), to_char(to_time AT TIME ZONE 'UTC', 'DD HH24:MI')"
            " FROM platform.worn_days('2026-03-28', '2026-03-29') WHERE participant_id IN ('berliner', 'nobody')"
            " UNION ALL SELECT participant_id, local_day::text, extract(epoch FROM ends - begins)::integer / 3600,"
            " device_id, '', '' FROM platform.worn_days('2026-10-25', '2026-10-25') WHERE participant_id = 'berliner'"
            " ORDER BY 2, 4"
        ).fetchall()
        connection.rollback()
    assert days == [
        ("berliner", "2026-03-28", 24, "ld-1", "27 23:00", "28 23:00"),
        ("berliner", "2026-03-29", 23, "ld-1", "28 23:00", "29 08:30"),
        ("berliner", "2026-03-29", 23, "ld-2", "29 09:00", "29 22:00"),
        ("berliner", "2026-10-25", 25, "ld-2", "", ""),
    ]


def test_partitions_made_late_take_over_the_rows_of_the_default_partition(sql_url: str) -> None:
    with psycopg.connect(sql_url) as connection:
        (timescale,) = connection.execute("SELECT platform.has_timescale()").fetchone() or (None,)
        if timescale:
            pytest.skip("chunks of TimescaleDB appear by themselves")
        connection.execute(
            "INSERT INTO telemetry.heart_rate VALUES"
            " ('d', '2026-03-31 23:59:59.5+00', 60, 'd:0:0', 1, 'batch', 'test'),"
            " ('d', '2026-04-01 00:00:00+00', 61, 'd:0:1', 1, 'batch', 'test')"
        )
        assert connection.execute(
            "SELECT platform.ensure_partitions('telemetry.heart_rate', '2026-03-15', '2026-04-02')"
        ).fetchone() == (2,)
        found = connection.execute(
            "SELECT tableoid::regclass::text, bpm FROM telemetry.heart_rate WHERE device_id = 'd' ORDER BY time"
        ).fetchall()
        assert found == [("telemetry.heart_rate_2026_03", 60.0), ("telemetry.heart_rate_2026_04", 61.0)]
        connection.rollback()


@pytest.mark.timescale
def test_on_timescaledb_every_time_series_is_a_hypertable() -> None:
    server_url = os.environ.get("WEARABLES_TEST_TIMESCALE_URL")
    if server_url is None:
        pytest.skip("WEARABLES_TEST_TIMESCALE_URL names no TimescaleDB")
    for url in fresh_database(server_url):
        migrate(url)
        with psycopg.connect(url) as connection:
            found = connection.execute(
                "SELECT hypertable_schema || '.' || hypertable_name FROM timescaledb_information.hypertables ORDER BY 1"
            ).fetchall()
        assert [name for (name,) in found] == [
            "telemetry.anomalies",
            "telemetry.heart_rate",
            "telemetry.rolling_features",
            "telemetry.sensor_readings",
            "telemetry.steps",
            "telemetry.wear",
            "telemetry.window_features",
        ]


@pytest.mark.parametrize("table", ["window_features", "anomalies", "rolling_features", "wear"])
def test_the_history_keeps_every_column(sql_url: str, table: str) -> None:
    with psycopg.connect(sql_url) as connection:
        held, kept = (
            {name for (name,) in connection.execute(_COLUMNS, (name,))} for name in (table, f"{table}_history")
        )
    assert kept == held | {"superseded_at", "superseded_because"}


_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'telemetry' AND table_name = %s"
