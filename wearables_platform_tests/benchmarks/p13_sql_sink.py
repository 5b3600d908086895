"""P13, P14: the stream's window rows to SQL, against a bare binary COPY of rows encoded before, and `executemany`.

All sides write the same columns of `telemetry.window_features`, a flush of one second of 10,000 devices at a
time, each flush one transaction. Ours starts from the stream's columns: encoding is inside its time, and so is what
makes it idempotent. The replay is the same flushes delivered once more; nothing may change. `executemany` writes rows
ready as Python tuples with the same ON CONFLICT. After each lap the table's content is compared by a checksum.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stream.partition import ScoredRows
from stream.rows import WINDOWS, by_table, window_rows
from stream.windows import Derived
from wearables_platform.clients.binary_copy import HEADER, TRAILER, cells_of, encode
from wearables_platform.clients.sql import AppendedRows, SqlClient, columns_to_rows, upsert_columns
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.events import EventRows
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import WINDOW_US, WindowRows
from wearables_platform.sql.migrate import migrate
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare, judged
from wearables_platform_tests.servers import TestServers, fresh_database, open_directory

IDS = ("P13", "P14")
DEVICES = 10_000
START_US = 1_774_742_400_000_000
# Seconds a flush takes here, about; decides only how many fit a lap.
FLUSH_S = 0.15
# PostgreSQL to write to; without it the embedded one. TimescaleDB's is the other case worth a look.
URL_VARIABLE = "WEARABLES_TEST_TIMESCALE_URL"
_CHECKSUM = """SELECT count(*) AS n, sum(revision) AS revisions, round(sum(vm_mean_g)::numeric, 6)::text AS level,
    count(peak_g) AS peaks, sum(hashtext(device_id)::int8) AS devices FROM telemetry.window_features"""


@dataclass
class Bench:
    """A database, and flushes that no side has written yet."""

    client: SqlClient
    flushes: int
    appended: AppendedRows
    second: int = 0

    def next_flushes(self) -> list[ScoredRows]:
        """Make the next seconds of the fleet."""
        self.second += self.flushes
        return [flush_of(self.second - self.flushes + i) for i in range(self.flushes)]

    def checksum(self) -> dict[str, Any]:
        return self.client.rows(_CHECKSUM)[0]

    def empty(self) -> None:
        self.client.execute("TRUNCATE telemetry.window_features")

    def lap(self, flushes: list[Any], write: Callable[[Any], None], expected: list[ScoredRows]) -> Lap:
        """Time the flushes into an empty table and check what it holds then."""
        self.empty()
        return self.timed(flushes, write, expected)

    def timed(self, flushes: list[Any], write: Callable[[Any], None], expected: list[ScoredRows]) -> Lap:
        began, began_cpu = time.perf_counter(), time.process_time()
        for flush in flushes:
            write(flush)
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        wrong = self.difference(expected)
        return Lap(len(expected) * DEVICES, seconds, not wrong, cpu, wrong)

    def difference(self, expected: list[ScoredRows]) -> str:
        """Say how the table differs from the rows it should hold."""
        found, rows = self.checksum(), [one.derived.windows for one in expected]
        level = sum(float(np.sum(one["vm_mean_g"])) for one in rows)
        peaks = sum(int(np.isfinite(one["peak_g"]).sum()) for one in rows)
        n = sum(map(len, rows))
        same = (found["n"], found["revisions"], found["peaks"]) == (n, 2 * n, peaks)
        return "" if same and abs(float(found["level"]) - level) < 1e-3 else f"the table holds {found}"

    def write(self, made: ScoredRows) -> None:
        """Write as the stream's sink does."""
        with self.client.transaction() as connection:
            for table, columns, new in by_table([window_rows(made)]):
                upsert_columns(connection, table, columns, appended=self.appended if new else None)

    def copy(self, encoded: bytes) -> None:
        """COPY what is encoded already; a repeat would fail."""
        statement = f"COPY {WINDOWS.name} ({', '.join(WINDOWS.columns)}) FROM STDIN (FORMAT BINARY)"
        with (
            self.client.transaction() as connection,
            connection.cursor() as cursor,
            cursor.copy(statement.encode()) as sink,
        ):
            sink.write(encoded)

    def execute_many(self, rows: list[tuple[Any, ...]]) -> None:
        names, marks = ", ".join(WINDOWS.columns), ", ".join(["%s"] * len(WINDOWS.columns))
        statement = f"INSERT INTO {WINDOWS.name} ({names}) VALUES ({marks}) {WINDOWS.on_conflict}"
        with self.client.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(statement.encode(), rows)


def flush_of(second: int) -> ScoredRows:
    """One second of the whole fleet, final, scored by no model."""
    random = np.random.default_rng(second)
    columns = {
        c.name: random.normal(1, 0.1, DEVICES) if c.dtype == "float64" else np.full(DEVICES, 7, np.int32)
        for c in FEATURE_COLUMNS
    }
    columns["peak_g"][::3] = np.nan
    device, start_us = np.arange(DEVICES), np.full(DEVICES, START_US + second * WINDOW_US)
    windows = WindowRows(device, start_us, columns)
    ids = [f"bench-{i:05d}" for i in range(DEVICES)]
    derived = Derived(ids, windows, EventRows(*(np.zeros(0),) * 7), False, [])
    return ScoredRows(derived, np.full(DEVICES, np.nan), [None] * DEVICES)


def encoded(made: ScoredRows) -> bytes:
    """Encode a flush as `Bench.copy` takes it."""
    columns = window_rows(made).whole()
    cells = [cells_of(kind, columns[name], DEVICES) for name, kind in WINDOWS.columns.items()]
    return HEADER + b"".join(encode(cells, DEVICES)) + TRAILER


def python_rows(made: ScoredRows, limit: int) -> list[tuple[Any, ...]]:
    """Return a flush's first rows as tuples of Python values."""
    columns = window_rows(made).whole()
    plain: list[Any] = []
    for name in WINDOWS.columns:
        column = columns[name]
        if name == "device_id":
            column = made.derived.device_ids
        elif name == "window_start":
            column = [from_us(t) for t in made.derived.windows.start_us.tolist()]
        plain.append(column if isinstance(column, np.ndarray | list) else [column] * DEVICES)
    return list(columns_to_rows(plain))[:limit]


@contextmanager
def prepared(seconds: float) -> Iterator[Bench]:
    """Start or take a server, make a database of its own, and hand over."""
    with open_directory() as directory:
        servers = TestServers(directory)
        try:
            for url in fresh_database(os.environ.get(URL_VARIABLE) or servers.url("postgres")):
                migrate(url)
                client = SqlClient(url, "bench", pool_size=1)
                for month in ("2026-03-01", "2026-04-01"):
                    client.rows(
                        "SELECT platform.ensure_partitions(%s, CAST(%s AS date), CAST(%s AS date))",
                        [WINDOWS.name, month, month],
                    )
                yield Bench(client, max(2, round(seconds / 4 / FLUSH_S)), AppendedRows())
                client.close()
        finally:
            servers.stop_all()


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Compare the sink with a bare COPY and with `executemany`, and its second delivery with its first."""
    with prepared(seconds / 2) as bench:
        replays: list[float] = []
        whole: list[bool] = []

        def ours() -> Lap:
            flushes = bench.next_flushes()
            first = bench.lap(flushes, bench.write, flushes)
            again = bench.timed(flushes, bench.write, flushes)
            bench.appended = AppendedRows()  # the replay is over, as after a crash it soon is
            replays.append(again.seconds / first.seconds)
            whole.append(again.whole)
            return first

        def bare() -> Lap:
            flushes = bench.next_flushes()
            return bench.lap([encoded(one) for one in flushes], bench.copy, flushes)

        p13 = compare("P13", {"sink": ours, "COPY": bare}, rounds=rounds, must=0.7, stretch=0.85, unit="of bare COPY")
        replay = judged(
            "P13-replay", replays[1:], must=2.0, stretch=1.0, unit="x first delivery", whole=all(whole), at_most=True
        )
        return [p13, replay, _against_executemany(bench, rounds)]


def _against_executemany(bench: Bench, rounds: int) -> Figure:
    few = 1_000

    def executemany() -> Lap:
        made = flush_of(bench.second)
        rows = python_rows(made, few)
        bench.empty()
        began = time.perf_counter()
        bench.execute_many(rows)
        lap = Lap(few, time.perf_counter() - began, True)
        found = bench.checksum()
        return lap if found["n"] == few else replace(lap, whole=False, wrong=f"the table holds {found}")

    def ours() -> Lap:
        flushes = bench.next_flushes()
        return bench.lap(flushes, bench.write, flushes)

    sides = {"sink": ours, "executemany": executemany}
    return compare("P14", sides, rounds=rounds, must=20.0, stretch=40.0, unit="x executemany")
