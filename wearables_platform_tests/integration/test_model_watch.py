"""What the sensors that watch models ask for, tick by tick, on a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from wearables_platform.assets.ml.attempts import FIRST_PAUSE, WHAT_FOR
from wearables_platform.assets.ml.watch import daily_drift_check, drift_retraining, model_watch, roll_back_model_job
from wearables_platform.clients.sql import SqlClient
from wearables_platform.models.drift import Shift, write
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.registry import ModelRegistry, ModelVersion
from wearables_platform.models.score_counts import BINS
from wearables_platform.resources import ModelSigningResource, SqlResource
from wearables_platform_tests.model_rig import KEY

pytestmark = [pytest.mark.integration, pytest.mark.sql]
EVEN = [1_000] * BINS
HOUR = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class World:
    sql: SqlClient
    resources: dict[str, Any]
    instance: dg.DagsterInstance

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.sql, KEY)

    def tick(self, sensor: dg.SensorDefinition) -> Any:
        return sensor.evaluate_tick(dg.build_sensor_context(instance=self.instance, resources=self.resources))

    def in_force(self, version: str) -> None:
        """Put a version in force whose scores are promised to be spread evenly."""
        row = ModelVersion(
            name=ACTIVITY_ANOMALY, version=version, state="candidate", sha256="0" * 64, lake_path="p",
            feature_version="2", code_version="1", trained_at=datetime(2020, 1, 1, tzinfo=UTC), training_days="-",
            training_people=(), metrics={"live_reference": {"bins": EVEN}, "params": {"alarm_rate": 0.01}},
        )  # fmt: skip
        self.registry.add(row)
        self.registry.put_in_force(row, lambda: HOUR, row.metrics, "a test says so")

    def scored(self, version: str, bins: list[int], *, alarms: float = 0.01, hours: int = 24) -> None:
        """What the stream counted of a version in force."""
        for hour in range(hours):
            self.sql.execute(
                "INSERT INTO ml.live_scores VALUES ('a stream', %(name)s, %(version)s, 'in_force', %(hour)s, "
                "%(windows)s, 0, %(alarms)s, %(bins)s, now())",
                {
                    "name": ACTIVITY_ANOMALY, "version": version, "hour": HOUR + timedelta(hours=hour), "bins": bins,
                    "windows": sum(bins), "alarms": round(alarms * sum(bins)),
                },
            )  # fmt: skip


@pytest.fixture
def world(own_sql_url: str) -> Iterator[World]:
    sql = SqlClient(own_sql_url, "tests")
    resources = {"sql": SqlResource(url=own_sql_url), "model_signing": ModelSigningResource(key=KEY)}
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(sql, resources, instance)
    sql.close()


def shifted(percent: float) -> Shift:
    return Shift("watch-x", "enmo_mg", "1.0", "1.1", 8, True, percent, percent - 1, percent + 1)  # noqa: FBT003


def test_nothing_found_retrains_nothing(world: World) -> None:
    assert world.tick(drift_retraining).skip_message == "nothing has shifted since the last training"
    world.in_force("1")
    world.scored("1", EVEN)
    write(world.sql, [shifted(2.0)], "a day")  # too small to matter
    assert world.tick(drift_retraining).skip_message == "nothing has shifted since the last training"


def test_a_shift_of_new_software_retrains_once(world: World) -> None:
    world.in_force("1")
    write(world.sql, [shifted(12.0)], "a day")
    (asked,) = world.tick(drift_retraining).run_requests
    assert asked.run_key == "1.1 on watch-x shifted enmo_mg by +12.0 %, attempt 1"
    assert asked.job_name == "retrain_models"
    assert asked.tags["because"] == "drift"
    (again,) = world.tick(drift_retraining).run_requests
    assert again.run_key == asked.run_key  # Dagster starts one run per key


def test_live_scores_that_drift_retrain_and_those_that_break_do_not_wait(world: World) -> None:
    world.in_force("1")
    drifted = [700] * (BINS // 2) + [1_300] * (BINS // 2)
    world.scored("1", drifted)
    assert world.tick(drift_retraining).skip_message == "nothing has shifted since the last training"
    world.sql.execute("DELETE FROM ml.live_scores")
    world.scored("1", [500] * (BINS // 2) + [1_500] * (BINS // 2))
    (asked,) = world.tick(drift_retraining).run_requests
    assert asked.run_key == "1: live scores have drifted from the card's, attempt 1"


def test_a_rollback_whose_run_failed_is_asked_for_again(world: World) -> None:
    world.in_force("1")
    world.scored("1", EVEN, alarms=0.9)
    (first,) = world.tick(model_watch).run_requests
    assert (first.run_key, first.job_name) == ("roll back 1, attempt 1", roll_back_model_job.name)
    assert first.run_config["ops"]["rolled_back_model"]["config"]["version"] == "1"
    run = world.instance.create_run_for_job(
        dg.Definitions(assets=[], jobs=[stand_in]).get_job_def(roll_back_model_job.name), tags=dict(first.tags)
    )
    assert world.tick(model_watch).skip_message == "roll back 1: a run is under way"
    world.instance.report_run_failed(run)
    assert "roll back 1: failed 1 times" in world.tick(model_watch).skip_message
    long_ago = datetime.now(UTC) - 2 * FIRST_PAUSE
    assert run.tags[WHAT_FOR] == "roll back 1"
    ended_long_ago(world.instance, run.run_id, long_ago)
    (second,) = world.tick(model_watch).run_requests
    assert second.run_key == "roll back 1, attempt 2"


@dg.op
def nothing() -> None: ...


@dg.job(name="roll_back_model")
def stand_in() -> None:
    nothing()


def ended_long_ago(instance: dg.DagsterInstance, run_id: str, at: datetime) -> None:
    """Let the instance say that a run ended then."""
    real = instance.get_run_records

    def earlier(*args: Any, **kwargs: Any) -> Any:
        return [one._replace(end_time=at.timestamp()) for one in real(*args, **kwargs)]

    instance.get_run_records = earlier  # type: ignore[method-assign]


def test_drift_is_looked_for_every_day(world: World) -> None:
    asked = daily_drift_check.evaluate_tick(dg.build_schedule_context(instance=world.instance)).run_requests
    assert asked is not None
    assert len(asked) == 1
