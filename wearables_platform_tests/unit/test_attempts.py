"""What failed is asked for again, under another key and ever less often; what is under way or done is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from wearables_platform.assets.ml.attempts import FIRST_PAUSE, LONGEST_PAUSE, WHAT_FOR, request

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@dg.op
def nothing() -> None: ...


@dg.job
def roll_back_model() -> None:
    nothing()


def ran(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus, what_for: str = "roll back 1") -> datetime:
    """Add runs asked for; returns when the last of them ended, as the instance sees it."""
    for status in statuses:
        run = instance.create_run_for_job(roll_back_model, tags={WHAT_FOR: what_for})
        if status == dg.DagsterRunStatus.FAILURE:
            instance.report_run_failed(run)
        elif status == dg.DagsterRunStatus.SUCCESS:
            instance.handle_new_event(finished(run.run_id))
    ends = [one.end_time for one in instance.get_run_records() if one.end_time]
    return datetime.fromtimestamp(max(ends), UTC) if ends else NOW


def finished(run_id: str) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level="debug",
        user_message="",
        run_id=run_id,
        timestamp=NOW.timestamp(),
        job_name="roll_back_model",
        dagster_event=dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name="roll_back_model"),
    )


def asked(instance: dg.DagsterInstance, now: datetime) -> str:
    found = request(instance, "roll_back_model", "roll back 1", now=now)
    return str(found.run_key if isinstance(found, dg.RunRequest) else found.skip_message)


FAILED, DONE, WAITING = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.NOT_STARTED


def test_the_first_time_it_is_asked_for_at_once(instance: dg.DagsterInstance) -> None:
    ran(instance, FAILED, what_for="roll back another")
    assert asked(instance, NOW) == "roll back 1, attempt 1"


def test_what_failed_is_asked_for_again_after_a_pause_that_grows(instance: dg.DagsterInstance) -> None:
    ended = ran(instance, FAILED)
    assert "failed 1 times" in asked(instance, ended + FIRST_PAUSE / 2)
    assert asked(instance, ended + FIRST_PAUSE) == "roll back 1, attempt 2"
    ended = ran(instance, FAILED, FAILED)
    assert "failed 3 times" in asked(instance, ended + 3 * FIRST_PAUSE)
    assert asked(instance, ended + 4 * FIRST_PAUSE) == "roll back 1, attempt 4"


def test_the_pause_never_exceeds_an_hour(instance: dg.DagsterInstance) -> None:
    ended = ran(instance, *[FAILED] * 12)
    assert asked(instance, ended + LONGEST_PAUSE + timedelta(seconds=1)) == "roll back 1, attempt 13"


def test_what_is_under_way_or_done_is_not_asked_for(instance: dg.DagsterInstance) -> None:
    ran(instance, FAILED, WAITING)
    assert asked(instance, NOW + timedelta(days=1)) == "roll back 1: a run is under way"


def test_what_is_done_is_done(instance: dg.DagsterInstance) -> None:
    ran(instance, FAILED, DONE)
    assert asked(instance, NOW + timedelta(days=1)) == "roll back 1: done already"
