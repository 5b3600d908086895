"""kill -9 at every named point, and at random (F2, F3, F4): the stores hold what an undisturbed stream writes.

The random kills are twelve; ``WEARABLES_TEST_RANDOM_KILLS=100`` makes them a hundred, which takes about three minutes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from wearables_platform.clients.log import connection_config
from wearables_platform.domain.channels import ACCELERATION, DEAD_LETTERS_TOPIC
from wearables_platform.domain.time_policy import to_us
from wearables_platform.local import running
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.wire.samples import touched_windows
from wearables_platform_tests.servers import StartServer
from wearables_platform_tests.stream_logs import START_US, Record, message
from wearables_platform_tests.stream_rig import POINTS, StreamRig, expected_outcome, whole_log

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.sql, pytest.mark.redis]

ROOT = Path(__file__).parents[2]
SPAN_US = 500_000
RANDOM_KILLS = int(os.environ.get("WEARABLES_TEST_RANDOM_KILLS", "12"))


@pytest.fixture
def rig(start_server: StartServer, own_sql_url: str, tmp_path: Path) -> Iterator[StreamRig]:
    made = StreamRig(start_server("kafka").url, own_sql_url, start_server("redis").url, tmp_path / "run")
    made.make_topics()
    yield made
    made.kill()


def faulty_log(seed: int, devices: int = 4, messages: int = 80) -> list[Record]:
    """A log with duplicates, gaps, late messages, a reboot, a forged id and bytes that are no message."""
    random = np.random.default_rng(seed)
    records: list[Record] = []
    for d in range(devices):
        device_id = f"watch-{seed}-{d}"
        for i in range(messages):
            boot, sequence = (1, i) if i < messages // 2 else (2, i - messages // 2)
            at_us = START_US + i * SPAN_US + d * 1_000
            payload = message(device_id, boot, sequence, at_us, i * SPAN_US, seed=seed * 100 + d)
            fate = random.choice(["fine"] * 17 + ["lost", "twice", "late"])
            if fate != "lost":
                records.append(Record(at_us + (6_000_000 if fate == "late" else 0), device_id, payload))
            if fate == "twice":
                records.append(Record(at_us + 1_500_000, device_id, payload))
        records.append(Record(START_US + 9 * SPAN_US, device_id, b"\x00 no message"))
        records.append(Record(START_US + 8 * SPAN_US, device_id, message("someone-else", 1, 0, START_US, 0)))
    return sorted(records, key=lambda record: record.at_us)


def assert_stores_become_as_undisturbed(rig: StreamRig, records: int) -> None:
    expected = expected_outcome(rig)
    rig.wait_until(lambda: rig.positions_read() == records)
    finals = "SELECT count(*) AS n FROM telemetry.window_features WHERE NOT provisional"
    rig.wait_until(lambda: rig.rows(finals)[0][0] >= len(expected.final))
    assert rig.stop() == 0
    ledger = rig.ledger()
    positions = [(*log, p) for by_log in ledger.values() for log, found in by_log.items() for p in found]
    assert len(positions) == len(set(positions)) == records
    sizes = {outcome: sum(map(len, by_log.values())) for outcome, by_log in ledger.items()}
    assert sizes == {outcome: len(found) for outcome, found in expected.ledger.items()}
    names = ", ".join(column.name for column in FEATURE_COLUMNS)
    stored = rig.rows(f"SELECT device_id, window_start, {names} FROM telemetry.window_features WHERE NOT provisional")
    found = {(row[0], to_us(row[1])): _bits(row[2:]) for row in stored}
    assert found == expected.final
    gaps = rig.rows("SELECT device_id, boot_id, first_sequence, last_sequence FROM quality.gaps")
    assert set(gaps) == {(g.device_id, f"{g.boot:016x}", g.first_sequence, g.last_sequence) for g in expected.gaps}
    dirty = rig.rows("SELECT DISTINCT device_id, window_start FROM quality.dirty_windows")
    assert {(device_id, to_us(start)) for device_id, start in dirty} == expected.dirty


def _bits(values: tuple[object, ...]) -> tuple[bytes, ...]:
    return tuple(
        np.array(np.nan if value is None else value, column.dtype).tobytes()
        for column, value in zip(FEATURE_COLUMNS, values, strict=True)
    )


def test_a_kill_at_each_named_point_changes_nothing(rig: StreamRig) -> None:
    records = faulty_log(7, messages=120)
    pieces = np.array_split(np.arange(len(records)), len(POINTS) + 1)
    for point, piece in zip(sorted(POINTS), pieces, strict=False):
        rig.send([records[i] for i in piece])
        rig.start((point, 2))
        assert rig.wait() == -signal.SIGKILL, point
    rig.send([records[i] for i in pieces[-1]])
    rig.start()
    assert_stores_become_as_undisturbed(rig, len(records))


def resumed_at(rig: StreamRig) -> dict[tuple[str, str], int]:
    """Where each lane of the life that runs, or ran last, went on."""
    notes = {path.name: json.loads(path.read_text()) for path in (rig.run_dir / "stream" / "crashes").glob("*.json")}
    return {(lane, topic): at for lane, note in notes.items() for topic, at in note["resumed_at"].items()}


def epochs_closed(rig: StreamRig) -> int:
    """How far the engine has got by its own record: it goes on there, whatever kills it."""
    store = rig.run_dir / "stream" / "recovery" / "part-0.sqlite3"
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store)) as engine:
        made = engine.execute("SELECT count(*) FROM sqlite_master WHERE name = 'fronts'").fetchone()
        return engine.execute("SELECT max(worker_frontier) FROM fronts").fetchone()[0] or 0 if made[0] else 0


def test_kills_at_random_change_nothing_and_progress_never_goes_back(rig: StreamRig) -> None:
    """F4: what was saved stays saved, so a kill costs what came since the last snapshot and no more."""
    random = np.random.default_rng(4)
    records = faulty_log(16, devices=3, messages=100)
    reached: dict[tuple[str, str], int] = {}
    for life, piece in enumerate(np.array_split(np.arange(len(records)), RANDOM_KILLS)):
        rig.send([records[i] for i in piece])
        closed = epochs_closed(rig)
        rig.start()
        if life % 2:  # every other one dies wherever it is: on a slow machine, before it has read anything
            rig.wait_until(lambda at=closed: epochs_closed(rig) > at)
        rig.process.join(random.uniform(0.2, 1.6))  # the fault itself, not a wait for anything
        assert rig.process.exitcode is None, rig.log()[-3000:]
        rig.kill()
        before, reached = reached, resumed_at(rig)
        assert all(reached[lane] >= at for lane, at in before.items()), (before, reached)
    assert sum(reached.values()) > 0, "no life got as far as a snapshot: nothing was tried"
    rig.start()
    assert_stores_become_as_undisturbed(rig, len(records))


def test_a_kill_in_the_first_epoch_skips_nothing(rig: StreamRig) -> None:
    records = faulty_log(8, devices=2)
    rig.send(records)
    rig.start(("after_decode", 1))
    assert rig.wait() == -signal.SIGKILL
    rig.start()
    assert_stores_become_as_undisturbed(rig, len(records))


def test_a_stream_that_waits_takes_over_when_the_first_is_killed(rig: StreamRig) -> None:
    records = faulty_log(12, devices=2)
    half = len(records) // 2
    rig.send(records[:half])
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == half)
    first = rig.process
    rig.start()
    rig.wait_until(lambda: "waiting to take over" in rig.log())
    rig.send(records[half:])
    first.kill()
    assert_stores_become_as_undisturbed(rig, len(records))


def test_without_its_recovery_store_the_stream_reads_again_and_changes_nothing(rig: StreamRig) -> None:
    records = faulty_log(9, devices=2)
    rig.send(records)
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == len(records))
    assert rig.stop() == 0
    shutil.rmtree(rig.run_dir / "stream")
    rig.send(more := faulty_log(10, devices=1))
    rig.start()
    assert_stores_become_as_undisturbed(rig, len(records) + len(more))


def test_any_number_of_workers_and_processes_goes_on_where_another_stopped(rig: StreamRig) -> None:
    """F10: after clean stops, and once after one process of two was killed."""
    records = faulty_log(11)
    pieces = np.array_split(np.arange(len(records)), 5)
    sizes = [{}, {"STREAM_WORKERS": "2"}, {}, {"STREAM_PROCESSES": "2"}, {}]
    sent = 0
    for piece, size in zip(pieces, sizes, strict=True):
        rig.extra = size
        rig.send([records[i] for i in piece])
        sent += len(piece)
        rig.start()
        rig.wait_until(lambda expected=sent: rig.positions_read() == expected)
        if "STREAM_PROCESSES" in size:
            one_of(rig.process.pid).kill()
            assert rig.wait(120) != 0
        elif size is not sizes[-1]:
            assert rig.stop() == 0
    assert_stores_become_as_undisturbed(rig, len(records))


def one_of(parent: int) -> psutil.Process:
    """The last of the working processes that a stream has started."""
    below = psutil.Process(parent).children(recursive=True)
    return next(child for child in reversed(below) if child.cmdline()[-2:] == ["run", "stream"])


def test_a_record_that_kills_the_process_is_set_aside_and_the_job_goes_on(rig: StreamRig) -> None:
    """F25: nothing but the process's deaths says which of the records it is."""
    at = [START_US + i * SPAN_US for i in range(14)]
    records = [Record(at[i], "watch-1", message("watch-1", 1, i, at[i], i * SPAN_US)) for i in range(14)]
    rig.send(records)
    deaths = rig.start_until_it_lives(lambda: rig.positions_read() == len(records), records[9].payload)
    assert 4 <= deaths <= 8
    gaps = "SELECT first_sequence, last_sequence FROM quality.gaps"
    rig.wait_until(lambda: rig.rows(gaps) == [(9, 9)])
    assert rig.stop() == 0
    sizes = {outcome: sum(map(len, by_log.values())) for outcome, by_log in rig.ledger().items()}
    assert sizes == {"stored": 13, "dead_lettered": 1}
    letters = whole_log(rig.kafka_url, DEAD_LETTERS_TOPIC, 0)
    assert {payload for fetch in letters for payload in fetch.payloads} == {records[9].payload}
    assert {found["reason"] for fetch in letters for found in fetch.headers.values()} == {b"poison"}
    dirty = rig.rows("SELECT window_start FROM quality.dirty_windows WHERE cause = 'poison'")
    assert {to_us(start) for (start,) in dirty} == set(touched_windows(at[9], at[9] + SPAN_US))


def test_a_store_that_does_not_fit_is_refused_with_one_line(rig: StreamRig) -> None:
    """F9, F11, F13: another log, another version, a lost state file; each says what to do."""
    rig.send(records := faulty_log(12, devices=1))
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == len(records))
    assert rig.stop() == 0
    note = rig.run_dir / "stream" / "recovery" / "incarnation.json"
    right = note.read_text()
    for wrong, said in [
        (right.replace('"partitions": 2', '"partitions": 8'), "belongs to another log (partitions differ)"),
        (right.replace('"format": 2, ', ""), "was written by another version of the stream (format 1"),
    ]:
        assert wrong != right
        note.write_text(wrong)
        rig.start()
        assert rig.wait() != 0
        assert said in rig.log()
    note.write_text(right)
    for state in (rig.run_dir / "stream" / "state").iterdir():
        state.unlink()
    rig.start()
    assert rig.wait() != 0
    assert "is missing; remove the stream's recovery directory" in rig.log()
    shutil.rmtree(rig.run_dir / "stream" / "recovery")  # as it was told
    rig.start()
    assert_stores_become_as_undisturbed(rig, len(records))


@pytest.fixture
def apache_kafka_url(tmp_path: Path) -> Iterator[str]:
    """An Apache Kafka of the test's own, where CI has fetched one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wearables-ci"
    if not (cache / "kafka-4.3.1" / "complete").exists() or shutil.which("java") is None:
        pytest.skip("no Apache Kafka here, and the embedded one expires no records")
    spec = importlib.util.spec_from_file_location("real_servers", ROOT / ".ci" / "real_servers.py")
    assert spec is not None
    assert spec.loader is not None
    real_servers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real_servers)
    (directory := tmp_path / "kafka").mkdir()
    server = running.start(real_servers.kafka(directory, cache), tmp_path / "logs")
    yield server.url
    server.stop()


def test_records_that_expired_unread_stop_the_stream(
    apache_kafka_url: str, start_server: StartServer, own_sql_url: str, tmp_path: Path
) -> None:
    """F8: the line names what the log still holds and how many records are missing."""
    rig = StreamRig(apache_kafka_url, own_sql_url, start_server("redis").url, tmp_path / "run", partitions=1)
    rig.make_topics()
    rig.send(records := faulty_log(14, devices=1))
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == len(records))
    assert rig.stop() == 0
    rig.send(faulty_log(15, devices=1))
    expire(rig.kafka_url, ACCELERATION.topic, len(records) + 7)
    rig.start()
    assert rig.wait() != 0
    assert f"which holds {len(records) + 7} to " in rig.log()
    assert "; 7 records expired unread" in rig.log()


def expire(kafka_url: str, topic: str, before: int) -> None:
    """Let the broker delete what is older, as retention does."""
    admin = AdminClient(connection_config(kafka_url, "test"))
    for deleted in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        assert deleted.result(15).low_watermark == before


def test_an_offset_the_log_does_not_hold_is_refused(rig: StreamRig, start_server: StartServer) -> None:
    rig.send(records := faulty_log(13, devices=1))
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == len(records))
    assert rig.stop() == 0
    empty = StreamRig(start_server("kafka").url, rig.sql_url, rig.redis_url, rig.run_dir)
    empty.make_topics()
    empty.start()
    assert empty.wait() != 0
    assert "is not in the log, which holds 0 to 0" in empty.log() or "belongs to another log" in empty.log()
