"""Every embedded server starts, serves a real client, and comes back after kill -9 with what it promised to keep."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pymongo
import pytest
import redis
from confluent_kafka import Consumer, Producer

from wearables_platform.local import privileges, running
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.ports import free_ports
from wearables_platform.local.postgres_server import postgres_spec
from wearables_platform.local.running import RunningServer
from wearables_platform.local.spec import ServerSpec
from wearables_platform_tests.servers import StartServer

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.kafka
def test_kafka_returns_every_record_that_was_acknowledged(start_server: StartServer) -> None:
    address = start_server("kafka").url.removeprefix("kafka://")
    producer = Producer({"bootstrap.servers": address, "acks": "all"})
    for number in range(500):
        producer.produce("readings", str(number).encode())
    assert producer.flush(DEADLINE_S) == 0
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
    )
    consumer.subscribe(["readings"])
    read: list[int] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(read) < 500 and time.monotonic() < deadline:
        read += [int(message.value()) for message in consumer.consume(500, 1.0) if message.error() is None]
    consumer.close()
    assert sorted(read) == list(range(500))


@pytest.mark.sql
def test_postgres_wants_the_password_and_keeps_commits_over_a_kill(start_server: StartServer) -> None:
    server = start_server("postgres")
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 100) AS n")
    server.kill()
    revived = running.start(server.spec, server.log_file.parent)
    try:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (100,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url.replace(server.url.split(":")[2].split("@")[0], "wrong"))
    finally:
        revived.stop()


@pytest.mark.sql
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_postgres_is_not_run_as_root(start_server: StartServer) -> None:
    server = start_server("postgres")
    assert Path(f"/proc/{server.process.pid}").stat().st_uid != 0


@pytest.mark.sql
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_postgres_runs_for_root_where_nobody_else_can_enter(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    try:
        first = start_postgres(closed)
        with psycopg.connect(first.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        first.stop()
        second = start_postgres(closed)
        with psycopg.connect(second.url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)
        second.stop()

        shutil.rmtree(closed / "postgres")  # forgotten by whoever cleans up: the next start must not find old data
        third = start_postgres(closed, password="another")
        with psycopg.connect(third.url) as connection:
            assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
        third.stop()
    finally:
        shutil.rmtree(privileges.elsewhere(closed / "postgres"), ignore_errors=True)


def start_postgres(directory: Path, password: str = "secret") -> RunningServer:
    spec = postgres_spec(free_ports(1)[0], directory / "postgres", password, prefer_embedded=True, durable=False)
    return running.start(spec, directory / "logs")


@pytest.mark.mongo
def test_mongo_keeps_documents_and_starts_over_a_stale_pid_file(start_server: StartServer) -> None:
    server = start_server("mongo")
    with pymongo.MongoClient(server.url) as client:
        client["wearables"]["messages"].insert_many([{"_id": str(n)} for n in range(50)])
    server.kill()
    for pid_file in server.spec.stale_files:
        pid_file.write_text(str(os.getpid()))  # the worst case: the pid now belongs to a living process
    revived = running.start(server.spec, server.log_file.parent)
    try:
        with pymongo.MongoClient(server.url) as client:
            assert client["wearables"]["messages"].count_documents({}) == 50
    finally:
        revived.stop()


@pytest.mark.redis
def test_redis_wants_the_password_and_keeps_it_out_of_the_process_list(start_server: StartServer) -> None:
    server = start_server("redis")
    with redis.Redis.from_url(server.url) as client:
        assert client.set("a", "1")
    password = server.url.removeprefix("redis://:").partition("@")[0]
    host, port = server.spec.address
    with redis.Redis(host=host, port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("a")
    assert password not in Path(f"/proc/{server.process.pid}/cmdline").read_text()


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from wearables_platform.local import running, servers, ports
place = servers.Place(Path({str(tmp_path)!r}), ports.free_ports(1)[0], "p", prefer_embedded=True)
print(running.start(servers.server_spec("redis", place), Path({str(tmp_path)!r})).process.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.wait()
    eventually(lambda: not alive(pid), f"redis {pid} outlived its parent")


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    spec = ServerSpec(
        name="redis",
        server="redis",
        version="0",
        chosen="wheel",
        argv=(sys.executable, "-c", "import sys; sys.exit('no such luck')"),
        address=("127.0.0.1", 1),
        url="",
        probe=lambda _: False,
    )
    with pytest.raises(StartError, match="no such luck") as caught:
        running.start(spec, tmp_path)
    assert caught.value.exit_code is ExitCode.UNHEALTHY
    assert "\n" not in str(caught.value)
