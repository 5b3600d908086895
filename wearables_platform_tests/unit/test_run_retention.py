"""Old runs go when every word of theirs has been said again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from wearables_platform.partitions import DAYS
from wearables_platform.retention import purge_runs


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def daily() -> dg.MaterializeResult:
    return dg.MaterializeResult()


@dg.op
def nothing() -> None: ...


@dg.job
def leaves_nothing() -> None:
    nothing()


def built(instance: dg.DagsterInstance, first: str, last: str) -> str:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return dg.materialize([daily], instance=instance, tags=tags).run_id


def test_a_run_is_kept_as_long_as_a_partition_rests_on_it() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        month = built(instance, "2026-03-01", "2026-03-03")
        built(instance, "2026-03-01", "2026-03-02")
        plain = leaves_nothing.execute_in_process(instance=instance).run_id
        later = datetime.now(UTC) + timedelta(days=1)
        assert purge_runs(instance, datetime.now(UTC) - timedelta(days=1)) == (0, 0)
        assert purge_runs(instance, later) == (1, 2)  # the third day is the first run's
        assert not instance.has_run(plain)
        again = built(instance, "2026-03-03", "2026-03-03")
        assert purge_runs(instance, later) == (1, 2)
        assert not instance.has_run(month)
        assert instance.has_run(again)
        days = [f"2026-03-0{day}" for day in (1, 2, 3)]
        assert instance.get_materialized_partitions(dg.AssetKey("daily")) == set(days)
