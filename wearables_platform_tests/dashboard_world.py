"""What the dashboards are asked of: the people of `cookbook_world`, and beside them what is wrong and what is new."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from wearables_platform.clients.sql import SqlClient
from wearables_platform_tests import cookbook_world
from wearables_platform_tests.cookbook_world import insert

DEVICE: Final = "w-ada"
PERSON: Final = "ada"
_MODEL: Final = "activity_anomaly"


def fill(client: SqlClient, today: date) -> None:
    """Write everything; `today` is the database's current date."""
    cookbook_world.fill(client, today)
    _write_now(client)
    _write_readings(client)
    _write_quality(client, today)
    _write_models(client)
    _write_insights(client, today)


def _write_now(client: SqlClient) -> None:
    """Write ten minutes of ada's and cleo's that end now, scored; ben's watch fell silent two hours ago.

    Cleo sends too: until 10:30 UTC her last hour of yesterday is less than a day ago, and her watch would be silent.
    """
    client.execute(
        "INSERT INTO telemetry.window_features (device_id, window_start, n_samples, rate_hz, coverage, enmo_mg, mad_mg,"
        " vm_mean_g, vm_min_g, vm_max_g, x_mean_g, y_mean_g, z_mean_g, peak_g, steps, glitches, clipped, flags,"
        " anomaly_score, model_version, feature_version, provisional, revision, origin)"
        " SELECT device_id, date_trunc('second', now()) - since - n * interval '1 second', 100, 100, 1, 30,"
        " 20, 1, 0.9, 1.2,"
        " 0.1, 0.2, 0.9, 1.2, 1, 1, 0, 0, 0.2, '2', '2', false, 1, 'stream'"
        " FROM generate_series(1, 600) AS n,"
        " (VALUES ('w-ada', interval '0'), ('w-cleo', interval '0'), ('w-ben', interval '2 hours'))"
        " AS devices (device_id, since)"
        " ON CONFLICT DO NOTHING"
    )
    client.execute(
        "INSERT INTO telemetry.anomalies (device_id, kind, window_start, started_at, ended_at, duration_ms,"
        " peak_g, severity,"
        " feature_version, provisional, revision, origin)"
        " VALUES ('w-ada', 'spike', date_trunc('second', now() - interval '1 minute'), now() - interval '1 minute',"
        " now() - interval '59 seconds', 1000, 5, 'warning', '2', false, 2, 'stream')"
    )


def _write_readings(client: SqlClient) -> None:
    client.execute(
        "INSERT INTO telemetry.heart_rate SELECT 'w-ada', now() - n * interval '5 seconds', 70, 'm:0:0', 1,"
        " 'stream', '1'"
        " FROM generate_series(1, 200) AS n"
    )


def _write_quality(client: SqlClient, today: date) -> None:
    for number, (outcome, positions) in enumerate(
        (("stored", "{[0,90),[97,100)}"), ("duplicate", "{[90,93)}"), ("dead_lettered", "{[93,95)}"))
    ):
        insert(
            client, "quality.ledger", consumer="stream", topic="wearables.acceleration.v1", partition_number=0,
            outcome=outcome, positions=positions,
        )  # fmt: skip
        insert(
            client, "quality.clock_steps", device_id=DEVICE, boot_id="00", sequence=number,
            at_time=today - timedelta(days=number + 1), step_ms=4000,
        )  # fmt: skip
        insert(
            client, "quality.parity_runs", run_id=f"run-{number}", event_day=today - timedelta(days=number + 2),
            checked_at=today, clean_rows=100, clean_equal=100, dirty_rows=3, dirty_equal_after=3, unexplained=0,
        )  # fmt: skip
    client.execute(
        "INSERT INTO quality.gaps VALUES ('w-ada', '01', 5, 7, now() - interval '20 minutes', now() -"
        " interval '10 minutes',"
        " now())"
    )


def _write_models(client: SqlClient) -> None:
    client.execute(
        "INSERT INTO ml.model_versions (name, version, state, sha256, lake_path, feature_version,"
        " code_version, trained_at,"
        " effective_from, training_days, training_people, metrics, signature)"
        " VALUES (%s, '2', 'candidate', repeat('a', 64), 'models/x', '2', '0.1', now(), NULL, 'd', '{ada}', '{}', 's')",
        (_MODEL,),
    )
    client.execute(
        "INSERT INTO ml.model_state_changes (name, version, to_state, changed_at, changed_by, because)"
        " VALUES (%s, '2', 'candidate', now(), 'a test', 'it was trained')",
        (_MODEL,),
    )
    client.execute(
        "INSERT INTO ml.live_scores SELECT 'w', %s, '2', 'in_force', date_trunc('hour', now()) - n * interval"
        " '1 hour', 3600,"
        " 0, CASE WHEN n < 24 THEN 360 ELSE 36 END, '{}', now() FROM generate_series(1, 100) AS n",
        (_MODEL,),
    )
    insert(
        client, "ml.model_deliveries", name=_MODEL, version="2", process=0, processes=2, in_time=True,
        effective_from="now", loaded_at="now",
    )  # fmt: skip
    insert(
        client, "ml.drift", device_model="Aero 2", feature="enmo_mg", version_before="1.0", version_after="1.1",
        days="d",
        people=9, paired=True, shift_percent=12, low_percent=8, high_percent=16, confidence=0.95, significant=True,
        feature_version="2", code_version="0.1", computed_at="now",
    )  # fmt: skip


def _write_insights(client: SqlClient, today: date) -> None:
    client.execute(
        "INSERT INTO telemetry.unusual_periods VALUES ('w-ada', now() - interval '1 day', now() - interval"
        " '23 hours', 'ada',"
        " %s, 5, now() - interval '1 day', 0.9, 0.8, 0.7, 0.99, 'own', 5000, '{enmo_mg}', '{400}', '{20}',"
        " '{9.5}', 'v1', '1',"
        " 1, 'batch')",
        (today - timedelta(days=1),),
    )
