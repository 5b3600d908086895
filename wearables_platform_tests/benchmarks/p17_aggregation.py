"""P17: daily aggregates by the default engine against Spark ``local[2]``, the same Parquet, equal results each round.

Run with `python -m wearables_platform_tests.benchmarks --only P17`. The data are generated from a seed: windows of
one second of as many device-days as make 10 million rows (profile quick, bar) or 100 million (full), written as the
lake writes them, with wear; each device is worn by somebody in Berlin. Each side runs in a process of its own, from
its start to its sums by hour and by local day, as a Dagster run or a job would: DuckDB with 1 GB for its memory, Spark
with a heap of 1 GB. The detail says processor seconds and the largest resident set of each side.

`python -m wearables_platform_tests.benchmarks.p17_aggregation engines ROWS` compares the candidates for the default
(DuckDB, and Polars for the part of the definition its Ibis back end can express) at any number of rows.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wearables_platform.batch.activity.engines import compute_all, duckdb_engine, spark_is_missing
from wearables_platform.batch.activity.plan import Plan, plan_hours, planned_spans
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.groups import DEFAULT_CUT_POINTS
from wearables_platform.errors import ConfigError
from wearables_platform.wire.lake_schemas import WEAR_DATASET, WINDOWS_DATASET
from wearables_platform_tests.activity_rig import INSTANT, Worn, local_days
from wearables_platform_tests.benchmarks.runner import Figure, calibration, judged, tell

IDS = ("P17", "P17-rss")
DAY_S = 86_400
FIRST_DAY = date(2026, 3, 28)  # the second day has 23 hours in Berlin
DAYS = 3
MEMORY_MB = 1_024


@dataclass(frozen=True)
class Side:
    """What one engine took for the whole task, in a process of its own."""

    wall_s: float
    cpu_s: float
    rss_mb: float


def generate(lake: Lake, rows: int) -> Plan:
    """Write so many windows, in whole device-days, and plan them."""
    devices = max(1, round(rows / DAY_S / DAYS))
    names = [f"watch-{number:05d}" for number in range(devices)]
    for step in range(DAYS):
        day = FIRST_DAY + timedelta(days=step)
        begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        tell(f"P17 writing day {step + 1} of {DAYS}", step, DAYS)
        for dataset, table_of in ((WINDOWS_DATASET, _windows), (WEAR_DATASET, _wear)):
            span = ("window_start", "window_start")
            with lake.writer(lake.edition(dataset, day.isoformat()), span) as writer:
                for number, name in enumerate(names):
                    writer.write(table_of(np.random.default_rng((step, number)), name, begin))
                writer.publish()
    days = [(FIRST_DAY + timedelta(days=step)).isoformat() for step in range(DAYS)]
    worn = [Worn(f"person-{name}", "Europe/Berlin", name) for name in names]
    assigned = local_days(worn, FIRST_DAY, FIRST_DAY + timedelta(days=DAYS))
    local, spans = planned_spans(assigned)
    return replace(plan_hours(lake, days, DEFAULT_CUT_POINTS), days=local, spans=spans)


def _windows(rng: np.random.Generator, name: str, begin: int) -> pa.Table:
    seconds = np.arange(begin, begin + DAY_S)
    active = np.sin(seconds / 1_900.0 + rng.random() * 6) > 0.55
    enmo = np.where(active, rng.gamma(5.0, 30.0, DAY_S), rng.gamma(1.0, 15.0, DAY_S))
    return pa.table(
        {
            "device_id": pa.repeat(name, DAY_S),
            "window_start": pa.array(seconds * 1_000_000).cast(INSTANT),
            "coverage": np.where(rng.random(DAY_S) < 0.98, 1.0, 0.4),
            "enmo_mg": enmo,
            "mad_mg": enmo * 0.4,
            "steps": rng.integers(0, 3, DAY_S).astype(np.int32),
        }
    )


def _wear(rng: np.random.Generator, name: str, begin: int) -> pa.Table:
    quarters = np.arange(begin, begin + DAY_S, 900)
    return pa.table(
        {
            "device_id": pa.repeat(name, len(quarters)),
            "window_start": pa.array(quarters * 1_000_000).cast(INSTANT),
            "still_axes": np.where(rng.random(len(quarters)) < 0.2, 3, 0).astype(np.int32),
            "sd_mg": np.full(len(quarters), 30.0),
        }
    )


def default_engine(lake: Path, plan: Path, out: Path) -> None:
    """Compute a plan by the default engine: one side's process."""
    wanted = Plan.from_json(plan.read_text())
    with duckdb_engine(Lake(FileObjects(lake)), wanted, memory_mb=MEMORY_MB) as engine:
        computed = compute_all(engine, wanted)
    for name, table in (("hours", computed.hours), ("days", computed.days)):
        out.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, out / f"{name}.parquet")


def run(command: list[str]) -> Side:
    """Run a process and its children to their end; largest resident set of any one of them."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0.0
    with process:
        while process.poll() is None:
            peak = max(peak, _resident_mb(process.pid))
            time.sleep(0.1)  # how finely memory is looked at
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace")
    if process.returncode:
        msg = f"{command}: {said[-2_000:]}"
        raise RuntimeError(msg)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Side(time.perf_counter() - began, cpu_s, peak)


def _resident_mb(pid: int) -> float:
    """Resident sets of a process and its descendants together."""
    total = 0.0
    for each in [pid, *_descendants(pid)]:
        try:
            pages = int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return total


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [below for child in children for below in _descendants(child)]


def _same(directory: Path) -> bool:
    return all(
        pq.read_table(directory / "duckdb" / f"{name}.parquet").to_pylist()
        == pq.read_table(directory / "spark" / f"{name}.parquet").to_pylist()
        for name in ("hours", "days")
    )


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate both engines over the same files."""
    missing = spark_is_missing()
    if missing is not None:
        raise ConfigError(missing)
    rows = 100_000_000 if seconds >= 60 else 10_000_000
    with TemporaryDirectory(prefix="p17-") as directory:
        return _measured(Path(directory), rows, min(rounds, 3))


def _measured(directory: Path, rows: int, rounds: int) -> list[Figure]:
    plan_file = directory / "plan.json"
    plan_file.write_text(generate(Lake(FileObjects(directory / "lake")), rows).to_json())
    sides = {"duckdb": _duckdb_command(directory, plan_file), "spark": _spark_command(directory, plan_file)}
    taken: dict[str, list[Side]] = {name: [] for name in sides}
    whole = True
    for done in range(rounds):
        tell("P17", done, rounds)
        for name, command in sides.items():
            taken[name].append(run(command))
        whole = whole and _same(directory)
    ours, spark = taken["duckdb"], taken["spark"]
    detail = f"{rows:,} windows; " + "; ".join(_told(name, each) for name, each in taken.items()) + f"; {calibration()}"
    ratios = [theirs.wall_s / mine.wall_s for mine, theirs in zip(ours, spark, strict=True)]
    memory = [mine.rss_mb / theirs.rss_mb for mine, theirs in zip(ours, spark, strict=True)]
    return [
        judged("P17", ratios, must=5.0, stretch=8.0, unit="x Spark", whole=whole, detail=detail),
        judged(
            "P17-rss", memory, must=1.0, stretch=0.25, unit="x Spark's RSS", whole=whole, detail=detail, at_most=True
        ),
    ]


def _told(name: str, sides: list[Side]) -> str:
    wall, cpu, rss = (
        sorted(getattr(side, of) for side in sides)[len(sides) // 2] for of in ("wall_s", "cpu_s", "rss_mb")
    )
    return f"{name} {wall:.1f} s, {cpu:.1f} s of CPU, {rss:.0f} MB"


def _duckdb_command(directory: Path, plan: Path) -> list[str]:
    me = [sys.executable, "-m", "wearables_platform_tests.benchmarks.p17_aggregation", "duckdb"]
    return [*me, str(directory / "lake"), str(plan), str(directory / "duckdb")]


def _spark_command(directory: Path, plan: Path) -> list[str]:
    job = [sys.executable, "-m", "wearables_platform.batch.activity.spark_job"]
    return [*job, "--plan", str(plan), "--out", str(directory / "spark"), "--memory", f"{MEMORY_MB}m"]


def engines(rows: int) -> None:
    """Print what each candidate takes for the sums by hour, and for all of it where it can."""
    with TemporaryDirectory(prefix="p17-") as name:
        directory = Path(name)
        plan = directory / "plan.json"
        plan.write_text(generate(Lake(FileObjects(directory / "lake")), rows).to_json())
        me = [sys.executable, "-m", "wearables_platform_tests.benchmarks.p17_aggregation"]
        tasks = {
            "duckdb, hours": [*me, "hours", "duckdb", str(plan)],
            "polars, hours": [*me, "hours", "polars", str(plan)],
            "duckdb, all": _duckdb_command(directory, plan),
        }
        if spark_is_missing() is None:
            tasks["spark, all"] = _spark_command(directory, plan)
        for task, command in tasks.items():
            try:
                sys.stdout.write(f"{rows:,} rows: {_told(task, [run(command)])}\n")
            except RuntimeError as exc:
                sys.stdout.write(f"{rows:,} rows: {task}: failed: {str(exc)[-300:]}\n")
            sys.stdout.flush()


def _hours(engine: str, plan: Plan) -> Any:
    from wearables_platform.batch.activity import definition
    from wearables_platform.batch.activity.engines import compute_hours

    if engine == "duckdb":
        with duckdb_engine(Lake(FileObjects(Path("/"))), plan, memory_mb=MEMORY_MB) as opened:
            return compute_hours(opened, plan).hours
    import ibis
    import polars

    connection = ibis.polars.connect()
    tables: dict[str, Any] = {name: polars.from_arrow(table).lazy() for name, table in plan.tables().items()}
    for name in ("windows", "wear"):
        tables[name] = polars.scan_parquet([unquote(urlsplit(file.address).path) for file in getattr(plan, name)])
    inputs = definition.Inputs(**{name: connection.create_table(name, table) for name, table in tables.items()})
    expression = definition.hours_of(definition.seconds_of(inputs, plan.limits))
    return connection.compile(expression).collect(engine="streaming")


if __name__ == "__main__":
    task, *given = sys.argv[1:]
    if task == "duckdb":
        default_engine(*map(Path, given))
    elif task == "hours":
        json.dumps(len(_hours(given[0], Plan.from_json(Path(given[1]).read_text()))))
    else:
        engines(int(given[0]))
