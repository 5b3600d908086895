"""The definition on Spark, as a job: started by Dagster (Pipes), or by hand with ``spark-submit``.

Either a plan is handed over as JSON, or the days are named, and the plan is made from the manifests of the lake and
the assignments of the database that the settings name. Sums by hour and by local day are written as Parquet.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, PipesContext, open_dagster_pipes

from wearables_platform.batch.activity.engines import Computed, compute_all, spark_engine, start_spark
from wearables_platform.batch.activity.plan import Plan


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute a plan on Spark, write its sums, report to Dagster where it asked."""
    options = _parser().parse_args(arguments)
    plan = (
        Plan.from_json(options.plan.read_text())
        if options.plan
        else _plan_of(options.first, options.last or options.first)
    )
    if DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ:
        print(_report(options, plan))  # noqa: T201 - a person started it
        return
    with open_dagster_pipes() as pipes:
        _tell(pipes, _report(options, plan))


def _report(options: argparse.Namespace, plan: Plan) -> dict[str, Any]:
    began = time.monotonic()
    session = start_spark("activity", options.memory)
    try:
        started_s = time.monotonic() - began
        with spark_engine(session, plan) as engine:
            computed = compute_all(engine, plan)
        _write(session, computed, options.out)
    finally:
        session.stop()
    return {
        "engine": computed.engine,
        "hours": computed.hours.num_rows,
        "local_days": computed.days.num_rows if computed.days is not None else 0,
        "start_s": round(started_s, 1),
        "compute_s": round(time.monotonic() - began - started_s, 1),
    }


def _tell(pipes: PipesContext, report: dict[str, Any]) -> None:
    pipes.log.info(f"{report['hours']} hours and {report['local_days']} local days by {report['engine']}")
    pipes.report_custom_message(report)


def _write(session: Any, computed: Computed, out: str) -> None:
    tables = {"hours": computed.hours, "days": computed.days}
    for name, table in tables.items():
        if table is None:
            continue
        if "://" in out:
            session.createDataFrame(table).coalesce(1).write.mode("overwrite").parquet(f"{out.rstrip('/')}/{name}")
        else:
            _write_file(table, Path(out) / f"{name}.parquet")


def _write_file(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _plan_of(first: str, last: str) -> Plan:
    from wearables_platform.batch.activity.compute import chosen_cut_points
    from wearables_platform.batch.activity.plan import plan_days
    from wearables_platform.resources import LakeResource, SqlResource
    from wearables_platform.settings import load_settings

    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    days = [(begin + timedelta(days=step)).isoformat() for step in range((end - begin).days + 1)]
    with SqlResource().open() as sql:
        return plan_days(LakeResource().open(), sql, days, chosen_cut_points(load_settings()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--plan", type=Path, help="a plan as JSON")
    wanted.add_argument("--first", help="first UTC day, such as 2026-03-01")
    parser.add_argument("--last", help="last UTC day; default the first")
    parser.add_argument("--out", required=True, help="directory or s3a:// prefix for hours and days")
    parser.add_argument("--memory", default="1g", help="heap of a session this starts itself (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
