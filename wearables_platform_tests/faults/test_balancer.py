"""Two brokers, two ingests, HAProxy in front: each is killed, drained and started again while devices send.

At the end of each test every spool is empty, Kafka holds every message, and the first copies of a boot are in order.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.fleet import PUMP_INTERVAL_S, Fleet
from wearables_platform.edge.http_client import HttpOutbox, HttpPoster
from wearables_platform.edge.messages import HeartRateReading, Vitals, encode_vitals
from wearables_platform.edge.outbox import OutboxTiming
from wearables_platform.edge.spool import SpoolDatabase
from wearables_platform_tests.balancer_rig import (
    BalancerRig,
    Sessions,
    Step,
    after_s,
    balancer_rig,
    first_copies,
    record_figures,
    records_by_device,
    spread_s,
)
from wearables_platform_tests.bridge_rig import START_US, eventually, new_device_id, walking_g
from wearables_platform_tests.servers import open_directory, prefer_embedded

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mqtt, pytest.mark.sql]

DEVICES = 8
CHUNK_S = 0.5
SETTLE_S = 3.0
DRAIN_S = 90.0
DEADLINE_S = 200.0
# The platform's own, ten seconds: nothing here may wait for a receipt to time out.
TIMING = OutboxTiming()


@pytest.fixture(scope="module")
def shared_rig(kafka_url: str, sql_url: str) -> Iterator[BalancerRig]:
    if prefer_embedded() or shutil.which("haproxy") is None:
        pytest.skip("the load balancer is tested on the real tier")
    with open_directory() as directory, balancer_rig(kafka_url, sql_url, directory) as started:
        yield started


@pytest.fixture
def rig(shared_rig: BalancerRig) -> BalancerRig:
    """All servers, up; whatever the test before has left."""
    shared_rig.wait_up()
    return shared_rig


def play(fleet: Fleet, steps: list[Step]) -> Sessions:
    """Let every device record and send in real time, and do one step after the other meanwhile."""
    sessions, waiting = Sessions(fleet), list(steps)
    began_s, chunks, deadline_s = time.monotonic(), 0, time.monotonic() + DEADLINE_S
    while waiting:
        assert time.monotonic() < deadline_s, f"still waiting to {waiting[0].title}"
        if time.monotonic() - began_s >= chunks * CHUNK_S:
            at_us = round(chunks * CHUNK_S * 1e6)
            for client in fleet.clients.values():
                chunk = walking_g(CHUNK_S, seed=chunks)
                client.record(chunk, source_rate_hz=100.0, start_us=START_US + at_us, monotonic_us=at_us)
            chunks += 1
        fleet.pump()
        sessions.look()
        if waiting[0].when():
            step = waiting.pop(0)
            sessions.step = step.title
            step.act()
        fleet.wait()
    for client in fleet.clients.values():
        client.interrupt()
    return sessions


def catch_up_s(fleet: Fleet, sessions: Sessions) -> float:
    """Return how long it takes until a receipt has covered everything."""
    began_s = time.monotonic()
    while fleet.pending():
        assert time.monotonic() - began_s < DRAIN_S, fleet.counts()
        fleet.pump()
        sessions.look()
        fleet.wait()
    return time.monotonic() - began_s


def test_brokers_and_the_balancer_end_and_come_back_while_devices_send(rig: BalancerRig, tmp_path: Path) -> None:
    device_ids = [new_device_id("lb") for _ in range(DEVICES)]
    tokens = rig.bridges[0].enrol(*device_ids)
    drains, brokers = rig.balancer, rig.brokers
    steps = [
        Step("drain broker 1", after_s(SETTLE_S), lambda: drains.drain("mqtt", 1)),
        Step("take broker 1 back", after_s(SETTLE_S), lambda: drains.ready("mqtt", 1)),
        Step("kill broker 2", after_s(SETTLE_S), brokers[1].kill),
        Step("start broker 2", after_s(SETTLE_S), brokers[1].start),
        Step("kill broker 1", lambda: rig.is_up("mqtt_2"), brokers[0].kill),
        Step("start broker 1", after_s(SETTLE_S), brokers[0].start),
        Step("kill the balancer", lambda: rig.is_up("mqtt_1"), rig.haproxy.kill),
        Step("start the balancer", after_s(1.0), rig.haproxy.start),
    ]
    with Fleet(rig.mqtt_url, tmp_path / "spool.sqlite") as fleet:
        for device_id in device_ids:
            fleet.add(ClientConfig(device_id, timing=TIMING), tokens[device_id])
        eventually(lambda: all(transport.ready for transport in fleet.transports.values()), "every device is connected")
        sessions = play(fleet, steps)
        caught_up_s = catch_up_s(fleet, sessions)
        counts = fleet.counts()
    copies = records_by_device(rig.ingests.kafka_url, ACCELERATION.topic, device_ids)
    made = sum(len(first_copies(records, ACCELERATION.topic)) for records in copies.values())
    record_figures(
        "brokers",
        {
            "messages": made,
            "resent": sum(int(str(each["resent"])) for each in counts.values()),
            "duplicates_in_log": sum(map(len, copies.values())) - made,
            "receipts_caught_up_s": round(caught_up_s, 2),
            "without_session": {title: spread_s(waits_s) for title, waits_s in sessions.waits_s.items()},
        },
    )
    for device_id, records in copies.items():
        sequences = first_copies(records, ACCELERATION.topic)
        assert sequences == list(range(len(sequences))), device_id
        assert counts[device_id]["accepted"] == len(sequences)
    # Each fault was one: whoever was connected to what ended had to go elsewhere.
    assert {"drain broker 1", "kill broker 2", "kill broker 1", "start the balancer"} <= sessions.waits_s.keys()


def test_ingests_and_the_balancer_end_and_come_back_while_devices_post(rig: BalancerRig, tmp_path: Path) -> None:
    devices = [rig.ingests.enrol() for _ in range(DEVICES)]
    database = SpoolDatabase(tmp_path / "spool.sqlite")
    spools = {device.device_id: database.spool(device.device_id) for device in devices}
    poster = HttpPoster(rig.ingest_url, {device.device_id: device.token for device in devices})
    outbox = HttpOutbox(poster, spools)
    both_up = lambda: rig.is_up("ingest_1") and rig.is_up("ingest_2")  # noqa: E731 - a condition, used once below
    waiting = [
        Step("drain ingest 1", after_s(1.0), lambda: rig.balancer.drain("ingest", 1)),
        Step("take ingest 1 back", after_s(SETTLE_S), lambda: rig.balancer.ready("ingest", 1)),
        Step("kill ingest 2", both_up, lambda: rig.ingest(2).kill()),
        Step("start ingest 2", after_s(SETTLE_S), lambda: rig.start_ingest(2)),
        Step("kill the balancer", both_up, rig.haproxy.kill),
        Step("start the balancer", after_s(1.0), rig.haproxy.start),
        Step("end", after_s(SETTLE_S), lambda: None),
    ]
    made, answered_s, longest_s = 0, time.monotonic(), dict[str, float]()
    step, deadline_s = "start", time.monotonic() + DEADLINE_S
    while (waiting or outbox.pending) and time.monotonic() < deadline_s:
        if waiting and outbox.pending < DEVICES * 20:
            for device_id, spool in spools.items():
                vitals = Vitals((HeartRateReading(START_US + made * 1_000_000, 60.0 + made % 50),))
                spool.append([encode_vitals(MessageIdentity(device_id, 7, made), vitals, made)])
            made += 1
        if waiting and waiting[0].when():
            step = waiting[0].title
            waiting.pop(0).act()
        now_s = time.monotonic()
        if outbox.pump(now_s):
            longest_s[step] = max(longest_s.get(step, 0.0), time.monotonic() - answered_s)
            answered_s = time.monotonic()
        else:
            time.sleep(min(outbox.next_due_s(now_s), PUMP_INTERVAL_S))
    assert not waiting
    assert outbox.pending == 0
    outbox.close()
    database.close()
    copies = records_by_device(rig.ingests.kafka_url, VITALS.topic, spools)
    record_figures(
        "ingests",
        {
            "messages": made * DEVICES,
            "posted_again": sum(outbox.resent.values()),
            "duplicates_in_log": sum(map(len, copies.values())) - made * DEVICES,
            "longest_without_answer_s": {title: round(longest, 2) for title, longest in longest_s.items()},
        },
    )
    for device_id, records in copies.items():
        assert first_copies(records, VITALS.topic) == list(range(made)), device_id


def test_operators_see_the_balancers_health_and_each_servers_state(rig: BalancerRig) -> None:
    base = "http://{}:{}".format(*rig.balancer.operators)
    assert requests.get(f"{base}/healthz", timeout=10).status_code == 200
    metrics = requests.get(f"{base}/metrics", timeout=10).text
    for server in ("mqtt_1", "mqtt_2", "ingest_1", "ingest_2"):
        assert f'server="{server}",state="UP"}} 1' in metrics
