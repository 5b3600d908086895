"""Where the definition is computed: DuckDB in this process by default, Spark where one machine is too small.

Both are handed the files of a plan, which come from manifests, and give whole numbers that are equal to the last one.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from wearables_platform.batch.activity import definition
from wearables_platform.batch.activity.plan import Plan, PlannedFile

if TYPE_CHECKING:
    from wearables_platform.clients.lake import Lake

COLUMNS: Final = {
    "windows": ("device_id", "window_start", "coverage", "enmo_mg", "mad_mg", "steps"),
    "wear": ("device_id", "window_start", "still_axes", "sd_mg"),
}
_KINDS: Final = {
    "device_id": pa.string(),
    "window_start": pa.timestamp("us", tz="UTC"),
    "steps": pa.int32(),
    "still_axes": pa.int32(),
}
# Files of s3:// are read by Spark through Hadoop's connector of that name.
_SPARK_SCHEMES: Final = {"s3": "s3a"}


@dataclass(frozen=True)
class Engine:
    """An engine with a plan's tables in it.

    Attributes
    ----------
    name
        Such as ``duckdb 2.0.1``; stored with every row it changes.
    inputs
        The tables, as Ibis expressions.
    run
        Computes an expression.
    """

    name: str
    inputs: definition.Inputs
    run: Callable[[Any], pa.Table]


@dataclass(frozen=True)
class Computed:
    """Sums by hour and by local day; a plan without days gives none."""

    engine: str
    hours: pa.Table
    days: pa.Table | None = None


def compute_hours(engine: Engine, plan: Plan) -> Computed:
    """Compute the hours of a plan's UTC span."""
    seconds = definition.seconds_of(engine.inputs, plan.limits)
    wanted = seconds.filter((seconds.second >= plan.first_s) & (seconds.second < plan.end_s))
    return Computed(engine.name, engine.run(definition.hours_of(wanted)))


def compute_all(engine: Engine, plan: Plan) -> Computed:
    """Compute the hours and the local days of a plan."""
    hours = compute_hours(engine, plan).hours
    return Computed(engine.name, hours, compute_days(engine, plan))


def compute_days(engine: Engine, plan: Plan) -> pa.Table:
    """Compute the local days of a plan: sums, bouts, most and least active hours; ordered by day."""
    inputs = engine.inputs
    seconds = definition.seconds_of(inputs, plan.limits)
    days = engine.run(definition.cells_of(inputs, seconds))
    for part in (definition.bouts_of(inputs, seconds), definition.extremes_of(inputs, seconds)):
        days = days.join(engine.run(part), "day", join_type="left outer")
    return days.sort_by("day")


@contextmanager
def duckdb_engine(lake: Lake, plan: Plan, *, memory_mb: int, threads: int | None = None) -> Iterator[Engine]:
    """Lend DuckDB with a plan's files; beyond `memory_mb` it works on the disk.

    Files of a directory are read by DuckDB itself, those on S3 through the lake's client by ranges, for DuckDB's own
    one is a download.
    """
    import duckdb
    import ibis

    with TemporaryDirectory(prefix="activity-") as spill:
        settings: dict[str, Any] = {"memory_limit": f"{memory_mb}MB", "temp_directory": spill}
        settings |= {"preserve_insertion_order": False} | ({} if threads is None else {"threads": threads})
        connection = ibis.duckdb.connect(**settings)
        try:
            for name in COLUMNS:
                _register_files(connection.con, lake, getattr(plan, name), name)
            small = plan.tables()
            for name, table in small.items():
                connection.con.register(name, table)
            inputs = definition.Inputs(**{name: connection.table(name) for name in (*COLUMNS, *small)})
            yield Engine(f"duckdb {duckdb.__version__}", inputs, connection.to_pyarrow)
        finally:
            connection.disconnect()


@contextmanager
def spark_engine(session: Any, plan: Plan) -> Iterator[Engine]:
    """Lend a Spark session with a plan's files; the session stays its owner's."""
    import ibis

    connection = ibis.pyspark.connect(session)
    for name, columns in COLUMNS.items():
        addresses = [_for_spark(file.address) for file in getattr(plan, name)]
        found = session.read.parquet(*addresses) if addresses else session.createDataFrame(_empty(columns))
        found.select(*columns).createOrReplaceTempView(f"activity_{name}")
    small = plan.tables()
    for name, table in small.items():
        session.createDataFrame(table).createOrReplaceTempView(f"activity_{name}")
    inputs = definition.Inputs(**{name: connection.table(f"activity_{name}") for name in (*COLUMNS, *small)})
    # Straight to Arrow: by way of pandas whole numbers would become floats where some are missing.
    yield Engine(
        f"spark {session.version}", inputs, lambda expression: session.sql(connection.compile(expression)).toArrow()
    )


def start_spark(application: str, memory: str = "1g") -> Any:
    """Start a Spark session on two cores of this machine, or take the master ``spark-submit`` names.

    Instants are UTC, and where Python is needed at all it is this one.
    """
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    given = SparkConf()
    builder = SparkSession.builder.appName(application).config("spark.sql.session.timeZone", "UTC")
    if not given.contains("spark.master"):
        local: dict[str, bool | float | int | str | None] = {
            "spark.master": "local[2]",
            "spark.driver.memory": memory,
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": "4",
        }
        builder = builder.config(map=local)
    return builder.getOrCreate()


def spark_is_missing() -> str | None:
    """Return what this machine lacks to run Spark, None where it lacks nothing."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed (the extra `spark`)"
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        return "no java is on PATH and JAVA_HOME is not set"
    return None


def _register_files(native: Any, lake: Lake, files: Sequence[PlannedFile], name: str) -> None:
    if not files:
        native.register(name, _empty(COLUMNS[name]))
    elif all(urlsplit(file.address).scheme == "file" for file in files):
        paths = [unquote(urlsplit(file.address).path) for file in files]
        native.read_parquet(paths).select(*COLUMNS[name]).create_view(name)
    else:
        native.register(name, _dataset(lake, files))


def _dataset(lake: Lake, files: Sequence[PlannedFile]) -> Any:
    import pyarrow.dataset

    form = pyarrow.dataset.ParquetFileFormat()
    fragments = [form.make_fragment(pa.PythonFile(lake.open_file(file.path, file.size_bytes), "r")) for file in files]
    return pyarrow.dataset.FileSystemDataset(fragments, fragments[0].physical_schema, form)


def _empty(columns: Sequence[str]) -> pa.Table:
    return pa.schema([(name, _KINDS.get(name, pa.float64())) for name in columns]).empty_table()


def _for_spark(address: str) -> str:
    scheme, _, rest = (unquote(address) if address.startswith("file:") else address).partition("://")
    return f"{_SPARK_SCHEMES.get(scheme, scheme)}://{rest}"
