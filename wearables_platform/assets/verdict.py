"""What a blocking check says of a run of many days, said of each day: downstream asks day by day.

Dagster records one evaluation per run; where the run is a range of days, no partition of the check would know of it,
and what follows the asset would wait for ever. Here each day of a range gets its own evaluation, of its own
materialization.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from wearables_platform.assets.report import markdown_table

if TYPE_CHECKING:
    from wearables_platform.batch.feature_checks import Fault

SHOWN_ROWS: Final = 20


def offending(rows: Sequence[Mapping[str, Any]], count: int | None = None) -> dict[str, Any]:
    """Return what a failed check is about: how many rows, and the first of them as a table."""
    if not rows:
        return {"offending": 0}
    return {"offending": len(rows) if count is None else count, "offending_rows": dg.MetadataValue.md(_table(rows))}


def offending_faults(faults: Sequence[Fault]) -> dict[str, Any]:
    """Return the rows of several faults, a table each under its words."""
    if not faults:
        return {"offending": 0}
    parts = [f"**{fault.day}: {fault.what}** ({fault.count} rows)\n\n{_table(fault.rows)}" for fault in faults]
    shown = dg.MetadataValue.md("\n\n".join(parts[:SHOWN_ROWS]))
    return {"offending": sum(fault.count for fault in faults), "offending_rows": shown}


def named(**identities: Iterable[str]) -> list[dict[str, str]]:
    """Lay lists of identities out as rows: what is wrong, and of what."""
    return [{"fault": fault.replace("_", " "), "of": one} for fault, found in identities.items() for one in found]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    return markdown_table(list(rows[0]), (row.values() for row in rows[:SHOWN_ROWS])).md_str or ""


def verdict(
    context: dg.AssetCheckExecutionContext,
    *,
    passed: bool,
    metadata: Mapping[str, Any],
    failed_days: Collection[str] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Return what a check found, and record it for every day of a range.

    Parameters
    ----------
    failed_days
        The days that are to blame; None blames every day of the run if it failed.
    """
    if not context.has_partition_key:
        _record_days(context, passed=passed, failed_days=failed_days, severity=severity)
    return dg.AssetCheckResult(passed=passed, metadata=metadata, severity=severity)


def _record_days(
    context: dg.AssetCheckExecutionContext,
    *,
    passed: bool,
    failed_days: Collection[str] | None,
    severity: dg.AssetCheckSeverity,
) -> None:
    spec = context.check_specs[0]
    blamed = set(context.partition_keys if failed_days is None else failed_days)
    looked_at = _materializations(context.instance, spec.asset_key, context.partition_keys)
    for day in context.partition_keys:
        context.op_execution_context.log_event(
            dg.AssetCheckEvaluation(  # type: ignore[arg-type] # `log_event` takes it; only its annotation does not
                asset_key=spec.asset_key,
                check_name=spec.name,
                passed=passed or day not in blamed,
                metadata={"run": dg.MetadataValue.dagster_run(context.run.run_id)},
                severity=severity,
                blocking=spec.blocking,
                partition=day,
                target_materialization_data=looked_at.get(day),
            )
        )


def _materializations(
    instance: dg.DagsterInstance, asset_key: dg.AssetKey, days: Sequence[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """Name the newest materialization of each day; an evaluation of an older one counts for nothing."""
    newest: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    of_days = dg.AssetRecordsFilter(asset_key=asset_key, asset_partitions=list(days))
    cursor = None
    while len(newest) < len(days):
        page = instance.fetch_materializations(of_days, limit=len(days), cursor=cursor)  # the newest first
        for found in page.records:
            made = AssetCheckEvaluationTargetMaterializationData(
                run_id=found.event_log_entry.run_id, storage_id=found.storage_id, timestamp=found.timestamp
            )
            newest.setdefault(found.partition_key or "", made)
        if not page.has_more:
            break
        cursor = page.cursor
    return newest
