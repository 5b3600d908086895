"""Stores that go, stall, refuse or answer no more: what the stream's sinks then do (F5, F6, F7, F26, F27, F29)."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import bytewax.operators as op
import confluent_kafka as ck
import numpy as np
import psycopg
import pytest
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from bytewax.testing import TestingSource

import wearables_platform.clients.sql as sql_module
from stream import sinks
from stream.decode import DeadLetter
from stream.partition import Harvest, ScoredRows
from stream.sinks import HarvestSink, Write, announcement_writer, dead_letter_writer, history_writer, latest_writer
from stream.windows import Derived
from wearables_platform.clients.kafka import Admin, Producer, RecordTooLarge
from wearables_platform.clients.latest import LatestBatch
from wearables_platform.clients.log import MAX_RECORD_BYTES, translated
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import MAX_DEAD_LETTER_BYTES, platform_topics
from wearables_platform.domain.channels import ACCELERATION, ANOMALIES_TOPIC, DEAD_LETTERS_TOPIC
from wearables_platform.errors import StoreRefused, StoreUnavailable, TransientError
from wearables_platform.local.running import RunningServer
from wearables_platform.signals.events import EventRows
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import WINDOW_US, WindowRows
from wearables_platform_tests.servers import TestServers, open_directory
from wearables_platform_tests.stream_logs import START_US
from wearables_platform_tests.stream_rig import whole_log
from wearables_platform_tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration]
N_WINDOWS = 40


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a store one second instead of a minute."""
    monkeypatch.setattr(sinks, "STORE_PATIENCE_S", 1.0)
    monkeypatch.setattr(sinks, "FLUSH_TIMEOUT_S", 0.5)


@pytest.fixture(scope="module")
def broker(servers: TestServers) -> Iterator[RunningServer]:
    """A broker of these tests' own, to freeze."""
    with open_directory() as directory:
        server = servers.start("kafka", directory)
        Admin(server.url).ensure_topics(platform_topics(1))
        yield server
        os.killpg(server.process.pid, signal.SIGCONT)
        server.kill()


@contextmanager
def frozen(server: RunningServer) -> Iterator[None]:
    """Let a server answer nothing, as behind a broken network, and keep what it has."""
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 10
        while set(thread_states(server.process.pid)) != {"T"}:  # the signal takes effect when it is noticed
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)


def thread_states(group: int) -> list[str]:
    """The state of every thread of a process group, as /proc names it."""
    fields = []
    for stat in Path("/proc").glob("[0-9]*/task/*/stat"):
        with suppress(OSError):  # ended meanwhile
            fields.append(stat.read_text().rpartition(")")[2].split())
    return [found[0] for found in fields if int(found[2]) == group and found[0] not in "ZX"]


@contextmanager
def through_proxy(url: str) -> Iterator[tuple[TcpProxy, str]]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    with TcpProxy(parts.hostname, parts.port) as proxy:
        account = parts.netloc.rpartition("@")[0]
        yield proxy, urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{proxy.port}"))


def harvest(
    device_id: str = "watch-1", first: int = 0, *, level: float = 1.0, payload: bytes = b"no message"
) -> Harvest:
    """Final windows, one spike, one dead letter, one newest value, and the positions they came from."""
    columns = {c.name: np.full(N_WINDOWS, level).astype(c.dtype) for c in FEATURE_COLUMNS}
    start_us = START_US + (first + np.arange(N_WINDOWS)) * WINDOW_US
    windows = WindowRows(np.zeros(N_WINDOWS, np.int32), start_us, columns)
    numbers = [np.array([value]) for value in (120.0, 6.0, 1.0, 0.0, 0.0)]
    events = EventRows(np.zeros(1, np.int32), start_us[:1], *numbers)
    scored = ScoredRows(
        Derived([device_id], windows, events, False, []), np.full(N_WINDOWS, np.nan), [None] * N_WINDOWS
    )
    values = {"x_g": np.array([level])}
    return Harvest(
        ACCELERATION.topic,
        0,
        None,
        dead_letters=(DeadLetter(7, "undecodable", "no message", payload),),
        latest=[LatestBatch("motion", [device_id], np.array([START_US + first]), np.array([first]), values)],
        rows=[scored],
        ledger={"stored": [[first, first + N_WINDOWS]]},
    )


def sink_of(open_write: Callable[[], Write], told: list[str] | None = None) -> Any:
    """A sink as a worker builds it; what it says it waits for goes to `told`."""
    said = told if told is not None else []
    return HarvestSink(open_write, said.append).build("step", 0, 1)


def held(sql_url: str, device_id: str) -> dict[str, int]:
    client = SqlClient(sql_url, "test", pool_size=1)
    query = """SELECT (SELECT count(*) FROM telemetry.window_features WHERE device_id = %(d)s) AS windows,
        (SELECT count(*) FROM telemetry.anomalies WHERE device_id = %(d)s) AS anomalies,
        (SELECT sum(upper(r) - lower(r))::int8 FROM quality.ledger, unnest(positions) AS r) AS positions"""
    row = client.rows(query, {"d": device_id})[0]
    client.close()
    return row


WHOLE = {"windows": N_WINDOWS, "anomalies": 1, "positions": N_WINDOWS}


@pytest.mark.kafka
@pytest.mark.parametrize(("open_writer", "topic"), [
    (announcement_writer, ANOMALIES_TOPIC), (dead_letter_writer, DEAD_LETTERS_TOPIC)
])  # fmt: skip
def test_a_broker_that_is_away_is_waited_for_and_nothing_is_reported_written_meanwhile(
    broker: RunningServer, open_writer: Callable[[str], Write], topic: str
) -> None:
    sink = sink_of(lambda: open_writer(broker.url))
    mark = uuid.uuid4().hex
    sink.write_batch([harvest(f"{mark}-before", payload=f"{mark}-before".encode())])
    during = harvest(f"{mark}-during", payload=f"{mark}-during".encode())
    writing = threading.Thread(target=sink.write_batch, args=([during],))
    with frozen(broker):
        writing.start()
        writing.join(0.5)
        assert writing.is_alive()
    writing.join(20)
    assert not writing.is_alive()
    written = [payload for fetch in whole_log(broker.url, topic, 0) for payload in fetch.payloads]
    mine = [payload for payload in written if mark.encode() in payload]
    assert [b"-before" in payload for payload in mine] == [True, False]


@pytest.mark.kafka
def test_a_broker_that_was_away_longer_than_a_message_lives_is_written_to_again(
    broker: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks, "FLUSH_TIMEOUT_S", 2.0)
    failed, mark = threading.Event(), uuid.uuid4().hex
    sink = HarvestSink(lambda: announcement_writer(broker.url), lambda _said: failed.set()).build("step", 0, 1)
    sink.write_batch([harvest(f"{mark}-before")])
    writing = threading.Thread(target=sink.write_batch, args=([harvest(f"{mark}-during")],))
    with frozen(broker):
        writing.start()
        assert failed.wait(20)  # a first attempt has timed out
    writing.join(30)
    assert not writing.is_alive()
    written = [payload for fetch in whole_log(broker.url, ANOMALIES_TOPIC, 0) for payload in fetch.payloads]
    assert {b"-before" in payload for payload in written if mark.encode() in payload} == {True, False}


@pytest.mark.kafka
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("open_writer", [announcement_writer, dead_letter_writer], ids=["F6", "F26"])
def test_a_broker_that_never_comes_back_ends_the_job_with_an_error(
    broker: RunningServer, open_writer: Callable[[str], Write]
) -> None:
    flow = Dataflow("test")
    op.output(
        "out", op.input("in", flow, TestingSource([harvest()])), HarvestSink(lambda: open_writer(broker.url), print)
    )
    with frozen(broker), pytest.raises(BaseException) as ended:  # noqa: PT011 - whatever ends the process non-zero
        cli_main(flow)
    causes = [ended.value]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    assert any(isinstance(cause, StoreUnavailable) for cause in causes)


@pytest.mark.kafka
def test_a_record_the_broker_does_not_take_stops_and_what_no_topic_takes_is_kept_by_its_head(kafka_url: str) -> None:
    Admin(kafka_url).ensure_topics(platform_topics(1)[-2:-1])
    producer, tries = Producer(kafka_url, "test"), []

    def write(_items: list[Harvest]) -> None:
        tries.append(1)
        producer.send(ANOMALIES_TOPIC, b"k", bytes(MAX_RECORD_BYTES + 1))

    with pytest.raises(RecordTooLarge):
        sink_of(lambda: write).write_batch([harvest()])
    assert len(tries) == 1  # trying again would change nothing
    sink = sink_of(lambda: dead_letter_writer(kafka_url))
    sink.write_batch([harvest(payload=b"x" * (MAX_RECORD_BYTES + 1))])
    last = [f for f in whole_log(kafka_url, DEAD_LETTERS_TOPIC, 0) if len(f)][-1]
    assert last.payloads[-1] == b"x" * MAX_DEAD_LETTER_BYTES
    assert f"of {MAX_RECORD_BYTES + 1} bytes kept".encode() in last.headers[len(last) - 1]["detail"]


@pytest.mark.parametrize("code", [ck.KafkaError.TOPIC_AUTHORIZATION_FAILED, ck.KafkaError.CLUSTER_AUTHORIZATION_FAILED])
def test_what_an_access_list_denies_stops_at_once(code: int) -> None:
    denied = translated(ck.KafkaError(code), "send")
    assert isinstance(denied, StoreRefused)
    tries = []

    def write(_items: list[Harvest]) -> None:
        tries.append(1)
        raise denied

    with pytest.raises(StoreRefused):
        sink_of(lambda: write).write_batch([harvest()])
    assert len(tries) == 1


@pytest.mark.sql
def test_a_connection_cut_in_the_middle_of_a_copy_leaves_nothing_twice(
    own_sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with through_proxy(own_sql_url) as (proxy, url):
        sink = sink_of(lambda: history_writer(url), told)
        sink.write_batch([harvest("watch-0", 1_000)])
        real, cuts = sql_module.encode, []

        def cut_between(*args: Any) -> Iterator[bytes]:
            for part in real(*args):
                yield part[: len(part) // 2]
                if not cuts:
                    cuts.append(proxy.cut())
                yield part[len(part) // 2 :]

        monkeypatch.setattr(sql_module, "encode", cut_between)
        sink.write_batch([harvest()])
    assert len(cuts) == len(told) == 1
    assert held(own_sql_url, "watch-1") == {**WHOLE, "positions": 2 * N_WINDOWS}


@pytest.mark.sql
def test_a_commit_whose_answer_is_lost_is_repeated_and_changes_nothing(
    own_sql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with through_proxy(own_sql_url) as (proxy, url):
        sink = sink_of(lambda: history_writer(url), told)
        real = sinks.write_history

        def committed_then_cut(connection: Any, *args: Any) -> None:
            real(connection, *args)
            if not told:
                connection.execute("COMMIT")
                proxy.cut()

        monkeypatch.setattr(sinks, "write_history", committed_then_cut)
        sink.write_batch([harvest()])
    assert len(told) == 1
    assert held(own_sql_url, "watch-1") == WHOLE


@pytest.mark.sql
def test_a_deadlock_and_a_serialization_failure_are_tried_again(own_sql_url: str) -> None:
    with psycopg.connect(own_sql_url, autocommit=True) as admin:
        admin.execute("CREATE SEQUENCE public.tries")  # is not rolled back
        admin.execute("""CREATE FUNCTION public.fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            CASE nextval('public.tries')
                WHEN 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01';
                WHEN 2 THEN RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001';
                ELSE RETURN NULL;
            END CASE; END $$""")
        admin.execute("""CREATE TRIGGER fail_twice AFTER INSERT ON quality.ledger
            FOR EACH STATEMENT EXECUTE FUNCTION public.fail_twice()""")
    told: list[str] = []
    sink_of(lambda: history_writer(own_sql_url), told).write_batch([harvest()])
    assert len(told) == 2
    assert held(own_sql_url, "watch-1") == WHOLE


@pytest.mark.sql
def test_a_database_that_stalls_is_waited_for(own_sql_url: str) -> None:
    with through_proxy(own_sql_url) as (proxy, url):
        sink = sink_of(lambda: history_writer(url))
        sink.write_batch([harvest("watch-0", 1_000)])
        proxy.hold()
        writing = threading.Thread(target=sink.write_batch, args=([harvest()],))
        writing.start()
        writing.join(0.3)
        assert writing.is_alive()
        assert held(own_sql_url, "watch-1")["windows"] == 0
        proxy.release()
        writing.join(20)
    assert held(own_sql_url, "watch-1") == {**WHOLE, "positions": 2 * N_WINDOWS}


@pytest.mark.sql
@pytest.mark.usefixtures("impatient")
def test_a_database_that_never_comes_back_ends_the_job_with_an_error(own_sql_url: str) -> None:
    gone = urlsplit(own_sql_url)._replace(netloc="nobody@127.0.0.1:1").geturl()
    sink = sink_of(lambda: history_writer(gone))
    with pytest.raises(StoreUnavailable):
        sink.write_batch([harvest()])


@pytest.mark.sql
def test_workers_that_write_the_same_rows_at_once_leave_them_once(own_sql_url: str) -> None:
    errors: list[BaseException] = []
    together = threading.Barrier(3)

    def write(order: int) -> None:
        try:
            sink = sink_of(lambda: history_writer(own_sql_url))
            for first in range(0, 5 * N_WINDOWS, N_WINDOWS):
                items = [harvest(f"watch-{d}", first, level=1.0) for d in range(4)]
                together.wait(20)
                sink.write_batch(items[::order])
        except (TransientError, StoreRefused, threading.BrokenBarrierError) as exc:
            errors.append(exc)

    workers = [threading.Thread(target=write, args=(order,)) for order in (1, -1, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert errors == []
    assert held(own_sql_url, "watch-3") == {"windows": 5 * N_WINDOWS, "anomalies": 5, "positions": 5 * N_WINDOWS}


@pytest.mark.redis
def test_newest_values_survive_a_redis_that_is_cut_off_and_an_older_one_changes_nothing(redis_url: str) -> None:
    with through_proxy(redis_url) as (proxy, url):
        sink = sink_of(lambda: latest_writer(url, lambda: START_US))
        sink.write_batch([harvest("cut-off", 5, level=5.0)])
        proxy.cut()
        sink.write_batch([harvest("cut-off", 9, level=9.0)])
        sink.write_batch([harvest("cut-off", 7, level=7.0)])
    reader = LatestReader(redis_url, "test")
    assert float(reader.latest(["cut-off"])[0]["x_g"]) == 9.0
    reader.close()
