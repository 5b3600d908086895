"""The partition of yesterday is asked for after its deadline, of assets that were being built by then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from wearables_platform.definitions import defs
from wearables_platform.freshness import judge
from wearables_platform.partitions import DAYS


@dg.asset(partitions_def=DAYS)
def steps() -> dg.MaterializeResult:
    return dg.MaterializeResult()


def test_a_day_that_was_never_built_is_told_after_its_deadline_and_not_before() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        now = datetime.now(UTC)
        assert judge(instance, "steps", now).passed  # nobody has begun: nothing is expected
        today = now.date().isoformat()
        dg.materialize([steps], partition_key="2026-03-01", instance=instance)
        assert judge(instance, "steps", now).passed
        late = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=3)
        missed = judge(instance, "steps", late)
        assert (missed.passed, missed.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert missed.metadata["day"].value == today
        dg.materialize([steps], partition_key=today, instance=instance)
        assert judge(instance, "steps", late).passed


def test_it_is_looked_at_by_itself_and_is_no_part_of_building_a_day() -> None:
    asked = defs.resolve_job_def("check_yesterday").asset_layer.asset_graph
    assert not asked.executable_asset_keys
    assert {check.name for check in asked.asset_check_keys} == {"yesterday_is_built"}
    building = defs.resolve_job_def("build_days").asset_layer.asset_graph
    assert "yesterday_is_built" not in {check.name for check in building.asset_check_keys}
