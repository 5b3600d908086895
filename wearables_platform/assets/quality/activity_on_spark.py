"""The aggregates of activity once more, on Spark: whether the engines agree."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, markdown_table, terminal_errors_end_the_step
from wearables_platform.partitions import contiguous_keys
from wearables_platform.resources import LakeResource, SqlResource
from wearables_platform.settings import load_settings

if TYPE_CHECKING:
    from wearables_platform.batch.activity.agreement import Difference
    from wearables_platform.batch.activity.engines import Computed
    from wearables_platform.batch.activity.plan import Plan

    _Compared = tuple[list[Difference], int, dict[str, Any]]

CHECK = "engines_agree"


@day_asset(
    deps=["hourly_activity", "daily_activity"],
    group="quality",
    kinds={"spark", "duckdb"},
    pool="spark",
    follows=False,
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset="activity_on_spark",
            blocking=True,
            description="Spark and the default engine give the same sums by hour and local day, to the last unit.",
        )
    ],
    description=(
        "The same definition of hourly and daily activity computed by Spark, in a process of its own (Dagster Pipes), "
        "over the same files, and compared with the default engine. Days in progress, and machines without Spark, are "
        "not compared, and the materialization says so."
    ),
)
def activity_on_spark(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compute days by both engines and compare."""
    from wearables_platform.batch.activity.engines import spark_is_missing

    today = datetime.now(UTC).date().isoformat()
    days = [day for day in context.partition_keys if day < today]
    because = spark_is_missing() or (None if days else "the day is in progress")
    if because is not None:
        context.log.info("not compared: %s", because)
        skipped = dg.AssetCheckResult(check_name=CHECK, passed=True, description=f"not compared: {because}")
        return dg.MaterializeResult(metadata={"not_compared": because}, check_results=[skipped])
    with terminal_errors_end_the_step(), sql.open() as client:
        from wearables_platform.batch.activity.compute import chosen_cut_points
        from wearables_platform.batch.activity.plan import plan_days

        opened, cut_points = lake.open(), chosen_cut_points(load_settings())
        plans = [plan_days(opened, client, part, cut_points) for part in contiguous_keys(days)]
    return _compared([_both(context, lake, plan) for plan in plans])


def _both(context: dg.AssetExecutionContext, lake: LakeResource, plan: "Plan") -> "_Compared":
    """Return where the engines differ, how many rows were compared, and what the Spark job reported."""
    from wearables_platform.batch.activity.agreement import differences
    from wearables_platform.batch.activity.engines import compute_all, duckdb_engine

    with TemporaryDirectory(prefix="activity-on-spark-") as directory:
        theirs, reported = _by_spark(context, plan, Path(directory))
    with duckdb_engine(lake.open(), plan, memory_mb=load_settings().aggregation_memory_mb) as engine:
        ours = compute_all(engine, plan)
    assert ours.days is not None
    return differences(ours, theirs), ours.hours.num_rows + ours.days.num_rows, reported


def _by_spark(context: dg.AssetExecutionContext, plan: "Plan", directory: Path) -> "tuple[Computed, dict[str, Any]]":
    import pyarrow.parquet as pq

    from wearables_platform.batch.activity.engines import Computed

    (directory / "plan.json").write_text(plan.to_json())
    job = [sys.executable, "-m", "wearables_platform.batch.activity.spark_job"]
    command = [*job, "--plan", str(directory / "plan.json"), "--out", str(directory)]
    done = dg.PipesSubprocessClient().run(context=context, command=command)
    (reported,) = done.get_custom_messages()
    tables = (pq.read_table(directory / f"{name}.parquet") for name in ("hours", "days"))
    return Computed(str(reported["engine"]), *tables), reported


def _compared(found: "Sequence[_Compared]") -> dg.MaterializeResult:  # type: ignore[type-arg]
    different = [one for differing, _, _ in found for one in differing]
    rows = sum(compared for _, compared, _ in found)
    reported = found[-1][2]
    seconds = {name: float(sum(report[name] for _, _, report in found)) for name in ("start_s", "compute_s")}
    shown = ("table", "key", "column", "first", "second")
    offending = markdown_table(shown, ([getattr(one, name) for name in shown] for one in different))
    check = dg.AssetCheckResult(
        check_name=CHECK,
        passed=not different,
        metadata={"rows_compared": rows, "differing": len(different), "offending": offending},
    )
    metadata: dict[str, Any] = {
        "rows_compared": rows,
        "engine": reported["engine"],
        **seconds,
        "seconds": bars(seconds, "Seconds of the Spark job", "s"),
    }
    return dg.MaterializeResult(metadata=metadata, check_results=[check])
