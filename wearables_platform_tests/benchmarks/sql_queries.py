"""What reading features costs: sizes and times of the main queries, on the kind of database it is given.

``python -m wearables_platform_tests.benchmarks.sql_queries [URL]`` fills a database of its own there (without a URL: on
an embedded PostgreSQL) with a fleet's windows in the order the stream writes them, and prints Markdown. On TimescaleDB
every query is timed with nothing materialized, then materialized, then compressed, too.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from wearables_platform.batch.time_series import refresh_features
from wearables_platform.clients.sql import SqlClient
from wearables_platform.sql.migrate import migrate
from wearables_platform_tests.servers import TestServers, fresh_database, open_directory

DEVICES: Final = 10
DAYS: Final = 4
REPEATS: Final = 5
# Long ago, so that all of it may be compressed and nothing is read in real time once it is materialized.
BEGIN: Final = datetime(2026, 3, 2, tzinfo=UTC)
END: Final = BEGIN + timedelta(days=DAYS)

FILL: Final = f"""
    INSERT INTO telemetry.window_features (device_id, window_start, n_samples, rate_hz, coverage, vm_mean_g, vm_std_g,
        vm_min_g, vm_max_g, vm_p95_g, enmo_mg, mad_mg, x_mean_g, y_mean_g, z_mean_g, x_std_g, y_std_g, z_std_g,
        jerk_rms_g_s, angle_z_deg, steps, glitches, clipped, flags, feature_version, provisional, revision, origin)
    SELECT 'watch-' || device, at, 100, 100, 1, 1 + random() / 10, random(), random(), 1 + random(), random(),
        100 * random(), 100 * random(), random(), random(), random(), random(), random(), random(), random(),
        90 * random(), (2 * random())::int, 0, 0, 0, '2', false, 2, 'stream'
    FROM generate_series('{BEGIN}'::timestamptz, '{END}'::timestamptz - interval '1 s', interval '1 s') AS at,
         generate_series(1, {DEVICES}) AS device"""
LAST_HOUR: Final = f"'{END - timedelta(hours=1)}'"
LAST_DAY: Final = f"'{END - timedelta(days=1)}'"
QUERIES: Final[Mapping[str, str]] = {
    "an hour of one device's windows": "SELECT * FROM analytics.window_features_v1"
    f" WHERE device_id = 'watch-3' AND window_start >= {LAST_HOUR}",
    "the last hour of the fleet, by minute": "SELECT * FROM analytics.features_minute_v1"
    f" WHERE minute_start >= {LAST_HOUR}",
    "the last day of the fleet, by hour": f"SELECT * FROM analytics.features_hour_v1 WHERE hour_start >= {LAST_DAY}",
    "all days of one device": "SELECT * FROM analytics.features_day_v1 WHERE device_id = 'watch-3'",
    "all days of the fleet": "SELECT * FROM analytics.features_day_v1",
}


@contextmanager
def _filled(server_url: str) -> Iterator[SqlClient]:
    for url in fresh_database(server_url):
        migrate(url)
        client = SqlClient(url, "sql-queries", pool_size=1)
        client.rows("SELECT platform.ensure_all_partitions(%s, %s)", (BEGIN.date(), END.date()))
        client.execute(FILL)
        client.call("VACUUM ANALYZE telemetry.window_features")
        yield client
        client.close()


def _median_ms(client: SqlClient, query: str) -> float:
    laps = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        client.rows(query)
        laps.append((time.perf_counter() - begin) * 1000)
    return statistics.median(laps)


def _times(client: SqlClient, state: str) -> None:
    for name, query in QUERIES.items():
        sys.stdout.write(f"| {name} | {state} | {_median_ms(client, query):,.0f} |\n")
        sys.stdout.flush()


def _size_mb(client: SqlClient, table: str, *, timescale: bool) -> float:
    size = "hypertable_size" if timescale else "pg_partition_tree"
    query = (
        f"SELECT {size}('{table}') AS bytes"
        if timescale
        else f"SELECT sum(pg_total_relation_size(relid)) AS bytes FROM {size}('{table}')"
    )
    return float(client.rows(query)[0]["bytes"]) / 1e6


def main(server_url: str) -> None:
    """Fill, time, print."""
    with _filled(server_url) as client:
        timescale = bool(client.rows("SELECT platform.has_timescale() AS yes")[0]["yes"])
        rows = DEVICES * DAYS * 86_400
        kind = "TimescaleDB" if timescale else "plain PostgreSQL"
        table = "telemetry.window_features"
        sys.stdout.write(f"{rows:,} rows on {kind}: {_size_mb(client, table, timescale=timescale):,.0f} MB\n\n")
        sys.stdout.write("| query | state | ms, median of 5 |\n|---|---|---|\n")
        if not timescale:
            _times(client, "computed when read")
            return
        client.rows(
            "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
            " WHERE proc_name LIKE 'policy_%'"
        )
        _times(client, "nothing materialized")
        refresh_features(client, datetime.now(UTC))
        _times(client, "materialized")
        client.rows(f"SELECT compress_chunk(chunk) FROM show_chunks('{table}') AS chunk")
        _times(client, "materialized and compressed")
        sys.stdout.write(f"\ncompressed: {_size_mb(client, table, timescale=True):,.0f} MB\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with open_directory() as directory:
            servers = TestServers(directory)
            try:
                main(servers.url("postgres"))
            finally:
                servers.stop_all()
