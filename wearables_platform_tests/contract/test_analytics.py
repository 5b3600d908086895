"""Minutes, hours and days of features say the same on plain PostgreSQL and TimescaleDB: what their windows say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest

from stream.rows import WINDOWS
from wearables_platform.batch.time_series import refresh_features, tend
from wearables_platform.clients.sql import SqlClient
from wearables_platform.resources import NothingIsPickled
from wearables_platform.retention import tend_time_series
from wearables_platform.sql.reference import published_columns
from wearables_platform_tests.contract.sql_kinds import analytics_url  # noqa: F401 - fixture
from wearables_platform_tests.sql_contract import breaks, released, views_of

pytestmark = [pytest.mark.sql, pytest.mark.contract]

LEVELS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
# In the stream's own way of writing: rows with a revision and an origin of their own, older ones never replace newer.
NOW = datetime.now(UTC).replace(microsecond=0)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """What a row says that the aggregates look at."""

    at: datetime
    n_samples: int = 100
    coverage: float = 1.0
    enmo_mg: float | None = 30.0
    steps: int | None = 1
    flags: int = 0
    provisional: bool = False
    revision: int = 2
    origin: str = "stream"
    feature_version: str = "2"


@pytest.fixture
def client(analytics_url: str) -> Iterator[SqlClient]:  # noqa: F811 - the fixture
    client = SqlClient(analytics_url, "analytics tests", pool_size=1)
    if is_timescale(client):  # the test says when
        client.rows(
            "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
            " WHERE proc_name LIKE 'policy_%'"
        )
    yield client
    client.close()


def is_timescale(client: SqlClient) -> bool:
    return bool(client.rows("SELECT platform.has_timescale() AS yes")[0]["yes"])


def put(client: SqlClient, device_id: str, windows: Sequence[Window]) -> int:
    """Write rows; one of a lower revision than what is there changes nothing."""
    named = [{"device_id": device_id, "window_start": window.at, **_values(window)} for window in windows]
    return client.upsert(WINDOWS, [[row.get(column) for column in WINDOWS.columns] for row in named])


def _values(window: Window) -> dict[str, Any]:
    level_g = None if window.enmo_mg is None else 1 + window.enmo_mg / 1000
    values = window._asdict()
    del values["at"]
    measured = {"vm_mean_g": level_g, "vm_min_g": level_g, "vm_max_g": level_g, "peak_g": level_g}
    return {**values, **measured, "mad_mg": window.enmo_mg, "rate_hz": 100.0, "glitches": 1, "clipped": 0}


def some_days(rng: np.random.Generator) -> list[Window]:
    """Three days with gaps, from months ago to a minute ago."""
    starts = [MIDNIGHT - timedelta(days=back) + timedelta(hours=5) for back in (100, 40, 3)]
    spans = [start + timedelta(seconds=int(second)) for start in starts for second in rng.choice(9000, 300, False)]
    recent = [NOW - timedelta(seconds=60 + second) for second in range(30)]
    return [
        Window(
            at,
            n_samples=int(rng.integers(0, 101)),
            coverage=float(rng.random()),
            enmo_mg=None if rng.random() < 0.1 else float(rng.random() * 100),
            steps=None if rng.random() < 0.1 else int(rng.integers(0, 4)),
            flags=int(1 << rng.integers(0, 12)),
            provisional=bool(rng.random() < 0.01),
            origin="batch" if rng.random() < 0.3 else "stream",
            revision=int(rng.integers(1, 5)),
            feature_version="1" if rng.random() < 0.01 else "2",
        )
        for at in [*spans, *recent]
    ]


def expected(windows: Sequence[Window], width: timedelta) -> list[dict[str, Any]]:
    buckets: dict[datetime, list[Window]] = defaultdict(list)
    for window in windows:
        buckets[EPOCH + (window.at - EPOCH) // width * width].append(window)
    return [_row(start, held, width) for start, held in sorted(buckets.items())]


def _row(start: datetime, held: Sequence[Window], width: timedelta) -> dict[str, Any]:
    measured = [(window.enmo_mg, window.n_samples) for window in held if window.enmo_mg is not None]
    weight = sum(n for _, n in measured)
    steps = [window.steps for window in held if window.steps is not None]
    levels = [1 + enmo / 1000 for enmo, _ in measured]
    batch = sum(window.origin == "batch" for window in held)
    versions = {window.feature_version for window in held}
    enmo = sum(enmo * n for enmo, n in measured) / weight if weight else None
    return {
        "start": start,
        "windows": len(held),
        "n_samples": sum(window.n_samples for window in held),
        "coverage": pytest.approx(sum(window.coverage for window in held) / width.total_seconds()),
        "vm_mean_g": None if enmo is None else pytest.approx(1 + enmo / 1000),
        "vm_min_g": pytest.approx(min(levels)) if levels else None,
        "vm_max_g": pytest.approx(max(levels)) if levels else None,
        "peak_g": pytest.approx(max(levels)) if levels else None,
        "enmo_mg": None if enmo is None else pytest.approx(enmo),
        "mad_1s_mean_mg": None if enmo is None else pytest.approx(enmo),
        "steps": sum(steps) if steps else None,
        "glitches": len(held),
        "clipped": 0,
        "flags": int(np.bitwise_or.reduce([window.flags for window in held])),
        "feature_version": versions.pop() if len(versions) == 1 else None,
        "provisional": any(window.provisional for window in held),
        "provisional_windows": sum(window.provisional for window in held),
        "batch_windows": batch,
        "revision": max(window.revision for window in held),
        "origin": "stream" if not batch else "batch" if batch == len(held) else "mixed",
    }


def said(client: SqlClient, device_id: str, level: str) -> list[dict[str, Any]]:
    rows = client.rows(
        f"SELECT * FROM analytics.features_{level}_v1 WHERE device_id = %s ORDER BY {level}_start", (device_id,)
    )
    for row in rows:
        del row["device_id"]
        row["start"] = row.pop(f"{level}_start").astimezone(UTC)
    return rows


def assert_all_levels_say(client: SqlClient, device_id: str, windows: Sequence[Window]) -> None:
    for level, width in LEVELS.items():
        assert said(client, device_id, level) == expected(windows, width), level


def test_both_kinds_have_the_released_views_with_the_same_types(client: SqlClient) -> None:
    assert breaks(released(), views_of(published_columns(client))) == []


def test_every_level_says_what_its_windows_say_before_and_after_it_is_materialized(client: SqlClient) -> None:
    windows = some_days(np.random.default_rng(1))
    put(client, "agg-1", windows)
    assert_all_levels_say(client, "agg-1", windows)
    refresh_features(client, NOW)
    assert_all_levels_say(client, "agg-1", windows)


def test_rows_of_this_minute_are_in_at_once(client: SqlClient) -> None:
    refresh_features(client, NOW - timedelta(hours=1))
    put(client, "agg-now", [Window(NOW)])
    assert [row["windows"] for level in LEVELS for row in said(client, "agg-now", level)] == [1, 1, 1]
    put(client, "agg-now", [Window(NOW, steps=7, revision=3)])
    assert [row["steps"] for level in LEVELS for row in said(client, "agg-now", level)] == [7, 7, 7]


def test_late_rows_corrections_and_rows_taken_back_reach_every_level(client: SqlClient) -> None:
    """40 days ago:  1 1 1 1   materialized, then:  -  1'  1  1  and, late, one more."""
    old = MIDNIGHT - timedelta(days=40) + timedelta(hours=23, minutes=59, seconds=56)
    windows = [Window(old + timedelta(seconds=i), provisional=True, revision=1) for i in range(4)]
    put(client, "agg-late", windows)
    refresh_features(client, NOW)
    late = Window(old + timedelta(seconds=4), enmo_mg=None, steps=None, n_samples=0)
    corrected = Window(windows[1].at, enmo_mg=300.0, revision=3, origin="batch")
    put(client, "agg-late", [late, corrected])
    client.execute(
        "DELETE FROM telemetry.window_features WHERE device_id = 'agg-late' AND window_start = %s", (windows[0].at,)
    )
    refresh_features(client, NOW)
    assert_all_levels_say(client, "agg-late", [corrected, *windows[2:], late])


def test_a_compressed_chunk_takes_late_rows_and_corrections(client: SqlClient) -> None:
    start = MIDNIGHT - timedelta(days=20)
    windows = [Window(start + timedelta(seconds=i), revision=2) for i in range(1000)]
    put(client, "agg-compressed", windows)
    if is_timescale(client):
        client.rows(
            "SELECT compress_chunk(chunk) FROM"
            " show_chunks('telemetry.window_features', newer_than => %s, older_than => %s) AS chunk",
            (start - timedelta(hours=1), start + timedelta(days=1)),
        )
    corrected = windows[500]._replace(enmo_mg=99.0, revision=3)
    late = Window(start + timedelta(hours=20))
    assert put(client, "agg-compressed", [corrected, late, windows[0], windows[1]._replace(steps=9, revision=1)]) == 2
    assert client.execute(
        "DELETE FROM telemetry.window_features WHERE device_id = 'agg-compressed' AND window_start = %s",
        (windows[2].at,),
    )
    left = [*windows[:2], *windows[3:500], corrected, *windows[501:], late]
    refresh_features(client, NOW)
    assert_all_levels_say(client, "agg-compressed", left)


def test_minutes_hours_and_days_outlive_their_windows(client: SqlClient) -> None:
    old = [Window(MIDNIGHT - timedelta(days=400, seconds=-second)) for second in range(0, 7200, 7)]
    new = [Window(MIDNIGHT - timedelta(days=30, seconds=-second)) for second in range(100)]
    months = {window.at.date().replace(day=1) for window in (old[0], new[0])}
    for month in months:
        client.rows("SELECT platform.ensure_partitions('telemetry.window_features', %s, %s)", (month, month))
    put(client, "agg-kept", [*old, *new])
    refresh_features(client, NOW)
    assert tend(client, NOW, None).dropped == 0
    assert tend(client, NOW, 90).dropped >= 1
    (left,) = client.rows(
        "SELECT count(*) AS n, min(window_start) AS first FROM telemetry.window_features WHERE device_id = 'agg-kept'"
    )
    assert (left["n"], left["first"]) == (len(new), new[0].at)
    assert_all_levels_say(client, "agg-kept", [*old, *new])
    tend(client, NOW, 90)
    tend(client, NOW, None)  # the retention is taken back
    refresh_features(client, NOW)
    assert_all_levels_say(client, "agg-kept", [*old, *new])


def test_partitions_are_there_before_their_rows(client: SqlClient) -> None:
    if is_timescale(client):
        pytest.skip("chunks of TimescaleDB appear by themselves")
    then = NOW + timedelta(days=300)
    assert tend(client, then, None).made > 0
    assert tend(client, then, None).made == 0
    put(client, "agg-ahead", [Window(then + timedelta(days=34))])
    (found,) = client.rows(
        "SELECT tableoid::regclass::text AS name FROM telemetry.window_features WHERE device_id = 'agg-ahead'"
    )
    assert found["name"].endswith(f"{then + timedelta(days=34):%Y_%m}")


def test_the_nightly_job_does_that(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEARABLES_SQL_URL", analytics_url)
    monkeypatch.setenv("WEARABLES_FEATURE_RETENTION_DAYS", "60")
    put(client, "agg-night", [Window(MIDNIGHT - timedelta(days=30))])
    assert tend_time_series.execute_in_process(resources={"io_manager": NothingIsPickled()}).success
    (far,) = client.rows(
        "SELECT count(*) AS n FROM telemetry.window_features WHERE window_start < %s", (NOW - timedelta(days=100),)
    )
    assert far["n"] == 0


@pytest.mark.parametrize("level", LEVELS)
def test_on_plain_postgresql_an_analyst_s_span_of_buckets_is_found_by_index(client: SqlClient, level: str) -> None:
    if is_timescale(client):
        pytest.skip("TimescaleDB leaves out chunks")
    put(client, "agg-plan", [Window(NOW - timedelta(days=200, seconds=second)) for second in range(5_000)])
    client.call("VACUUM ANALYZE telemetry.window_features")
    with client.transaction() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")  # the table is small here
        connection.execute("SET LOCAL ROLE analyst")
        plan = connection.execute(
            f"EXPLAIN SELECT * FROM analytics.features_{level}_v1 WHERE {level}_start >= %s".encode(), (NOW,)
        ).fetchall()
    conditions = [line for (line,) in plan if "Index Cond" in line and "date_bin" in line]
    assert conditions, "\n".join(line for (line,) in plan)
