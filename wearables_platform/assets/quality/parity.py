"""Stream against batch, day by day."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, markdown_table, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, SqlResource

SHOWN_DAYS = 10

if TYPE_CHECKING:
    from wearables_platform.batch.parity import DayParity


@day_asset(
    deps=["window_features", "spike_events", "rule_events", "wear", "rolling_features"],
    group="quality",
    kinds={"python", "postgres"},
    pool="sql",
    check_specs=[
        dg.AssetCheckSpec(
            "nothing_unexplained",
            asset="parity",
            blocking=True,
            description=(
                "Clean rows of the stream are bit-equal to batch, dirty rows are equal after the recompute, and no "
                "row differs without a recorded cause."
            ),
        )
    ],
    description=(
        "What the stream said of each day compared with what the archive gives, bit by bit: clean rows, dirty rows "
        "after recompute, and whatever nobody can explain. Recorded in quality.parity_runs."
    ),
)
def parity(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compare days and record the figures."""
    from wearables_platform.batch.days import check_day

    at, opened = datetime.now(UTC), lake.open()
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        days = [check_day(client, opened, day, run_id=context.run.run_id, at=at) for day in context.partition_keys]
    totals = _totals(days)
    failed = [found for found in days if not found.holds]
    check = dg.AssetCheckResult(
        check_name="nothing_unexplained",
        passed=not failed,
        metadata={
            "days": len(days),
            "failed_days": [found.day for found in failed],
            "unexplained": totals["unexplained"],
            "examples": [name for found in failed for name in found.examples][:20],
        },
    )
    drawn = {name: totals[name] for name in ("clean", "clean_equal", "dirty", "dirty_equal_after", "unexplained")}
    compared = totals["clean"] + totals["dirty"]
    metadata: dict[str, Any] = {
        **totals,
        "rows_in_run": compared,
        **spent.rate(compared),
        "first_in_run": min(context.partition_keys),
        "last_in_run": max(context.partition_keys),
        "by_day": _by_day(days),
        "agreement": bars(drawn, "Rows of stream and batch", "rows"),
    }
    return dg.MaterializeResult(metadata=metadata, check_results=[check])


def _by_day(days: "list[DayParity]") -> dg.MarkdownMetadataValue:
    newest = sorted(days, key=lambda found: found.day)[-SHOWN_DAYS:]
    counted = [_totals([found]) for found in newest]
    names = list(counted[0]) if counted else []
    return markdown_table(
        ["day", *names], ([found.day, *one.values()] for found, one in zip(newest, counted, strict=True))
    )


def _totals(days: "list[DayParity]") -> dict[str, int]:
    names = ("clean", "clean_equal", "dirty", "dirty_equal_after", "unexplained", "provisional", "awaited")
    parts = [part for found in days for part in found.parts]
    return {name: sum(getattr(part, name) for part in parts) for name in names}
