"""The ingest as a process: clients that are slow, silent or oversized, and kills while devices post."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from wearables_platform.domain.channels import VITALS
from wearables_platform.edge.http_client import PROTOBUF
from wearables_platform.ingest import worker
from wearables_platform_tests import ingest_rig, messages
from wearables_platform_tests.ingest_rig import Enrolled, IngestProcess, IngestRig

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.sql]
THREADS = 4
ANSWER_TIMEOUT_S = worker.READ_TIMEOUT_S + 30


@pytest.fixture(scope="module")
def rig(kafka_url: str, sql_url: str) -> Iterator[IngestRig]:
    with ingest_rig.rig(kafka_url, sql_url) as built:
        yield built


@pytest.fixture(scope="module")
def ingest(rig: IngestRig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestProcess]:
    log_file = tmp_path_factory.mktemp("ingest") / "ingest.log"
    with ingest_rig.process(rig, log_file, WEARABLES_INGEST_THREADS=str(THREADS)) as running:
        yield running


@pytest.fixture
def device(rig: IngestRig) -> Enrolled:
    return rig.enrol()


def post(ingest: IngestProcess, device: Enrolled, body: bytes, **headers: str) -> requests.Response:
    given = {**device.authorization, "Content-Type": PROTOBUF, **headers}
    return requests.post(ingest.url + device.path(VITALS), data=body, headers=given, timeout=ANSWER_TIMEOUT_S)


def head(device: Enrolled, *lines: str) -> bytes:
    given = (f"POST {device.path(VITALS)} HTTP/1.1", "Host: ingest", f"Authorization: Bearer {device.token}")
    return "\r\n".join((*given, f"Content-Type: {PROTOBUF}", *lines, "", "")).encode()


def connect(ingest: IngestProcess) -> socket.socket:
    return socket.create_connection(ingest.address, timeout=ANSWER_TIMEOUT_S)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_without_its_length_is_refused(ingest: IngestProcess, device: Enrolled) -> None:
    chunks = iter([messages.vitals(device.device_id, 0)])
    answer = requests.post(
        ingest.url + device.path(VITALS),
        data=chunks,
        headers={**device.authorization, "Content-Type": PROTOBUF},
        timeout=ANSWER_TIMEOUT_S,
    )
    assert answer.status_code == 411


def test_a_gigabyte_that_was_announced_is_not_waited_for(ingest: IngestProcess, device: Enrolled) -> None:
    with connect(ingest) as client:
        client.sendall(head(device, "Content-Length: 1000000000"))
        assert status_of(client.recv(4_096)) == 413


def test_a_body_that_never_comes_whole_ends_with_408(ingest: IngestProcess, device: Enrolled, rig: IngestRig) -> None:
    # What came is a valid message by itself: taken for the whole, it would be stored without its end.
    whole = messages.vitals(device.device_id, 0)
    with connect(ingest) as client:
        client.sendall(head(device, f"Content-Length: {len(whole) + 50}") + whole)
        began_s = time.monotonic()
        assert status_of(client.recv(4_096)) == 408
        assert time.monotonic() - began_s >= worker.READ_TIMEOUT_S - 1
    assert rig.records_of(device, VITALS) == []
    assert rig.dead_letters_of(device) == []


def test_silent_and_dripping_clients_do_not_keep_others_out(ingest: IngestProcess, device: Enrolled) -> None:
    silent = [connect(ingest) for _ in range(10 * THREADS)]
    # One that drips its head holds a thread, for a bounded time: all but one of the threads are taken this way.
    dripping = [connect(ingest) for _ in range(THREADS + 1)]
    for client in dripping:
        client.sendall(b"POST /v1/dev")
    began_s = time.monotonic()
    answer = post(ingest, device, messages.vitals(device.device_id, 1))
    assert answer.status_code == 202
    assert time.monotonic() - began_s < 10
    for client in dripping:
        client.settimeout(ANSWER_TIMEOUT_S)
        assert client.recv(4_096) == b"", "cut once its time is over"
    for client in (*silent, *dripping):
        client.close()


def test_kill_9_of_the_worker_loses_nothing_that_was_answered_202(
    ingest: IngestProcess, rig: IngestRig, device: Enrolled
) -> None:
    answered: set[int] = set()
    kills = 0
    for sequence in range(60):
        body = messages.vitals(device.device_id, 100 + sequence)
        if sequence in (10, 25, 40):
            kills += 1
            threading.Timer(0.01, kill_worker, [ingest]).start()
        while not accepted(ingest, device, body):
            time.sleep(ingest_rig.POLL_S)
        answered.add(100 + sequence)
    assert kills == 3
    payloads = {record.payload for record in rig.records_of(device, VITALS)}
    assert {messages.vitals(device.device_id, sequence) for sequence in answered} <= payloads


def accepted(ingest: IngestProcess, device: Enrolled, body: bytes) -> bool:
    try:
        return post(ingest, device, body).status_code == 202
    except requests.ConnectionError:
        return False


def kill_worker(ingest: IngestProcess) -> None:
    """Kill the worker process; gunicorn's master starts another."""
    for pid in children(ingest.process.pid):
        os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def test_a_missing_setting_ends_it_at_once_by_name(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "wearables_platform.cli", "run", "ingest"]
    ended = subprocess.run(
        argv,
        env={**os.environ, "WEARABLES_RUN_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert "WEARABLES_KAFKA_URL" in ended.stderr
