"""kill -9 of the archive, again and again, at random points: it converges to the same content all the same."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform_tests import archive_rig, messages
from wearables_platform_tests.archive_rig import DEADLINE_S, ArchiveRig, await_true
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mongo, pytest.mark.timeout(600)]
KILLS = 4
DEVICES = 40
MESSAGES_EACH = 350
SEED = 20260329


@pytest.fixture
def rig(start_server: StartServer) -> Iterator[ArchiveRig]:
    built = archive_rig.build(start_server("kafka").url, start_server("mongo").url)
    yield built
    built.store.close()


def start_archive(rig: ArchiveRig, log_file: Path) -> subprocess.Popen[bytes]:
    environment = {
        "WEARABLES_KAFKA_URL": rig.kafka_url,
        "WEARABLES_MONGO_URL": rig.mongo_url,
        "WEARABLES_TOPIC_PARTITIONS": str(archive_rig.PARTITIONS),
        "WEARABLES_ARCHIVE_INSTANCE": rig.database,
    }
    with log_file.open("ab") as log:
        argv = [sys.executable, "-m", "wearables_platform.cli", "run", "archive"]
        return subprocess.Popen(argv, env={**os.environ, **environment}, stdout=log, stderr=log)


def send_everything(rig: ArchiveRig, chance: random.Random) -> dict[str, int]:
    """Queue a fleet's messages with duplicates, mismatches, impossible times and garbage among them."""
    planted = {"stored": 0, "duplicate": 0, "quarantined": 0, "dead_lettered": 0}
    for sequence in range(MESSAGES_EACH):
        for number in range(DEVICES):
            device_id = f"watch-{number}"
            rig.send(ACCELERATION, device_id, messages.acceleration(device_id, sequence))
            planted["stored"] += 1
            kind = chance.randrange(60)
            if kind == 0:
                rig.send(ACCELERATION, device_id, messages.acceleration(device_id, chance.randrange(sequence + 1)))
                planted["duplicate"] += 1
            elif kind == 1:
                rig.send(ACCELERATION, device_id, messages.acceleration(device_id, sequence, level_g=5.0))
                planted["quarantined"] += 1
            elif kind == 2:
                early = messages.acceleration(device_id, sequence, boot_id=9, start_us=1_000_000)
                rig.send(ACCELERATION, device_id, early)
                planted["quarantined"] += 1
            elif kind == 3:
                rig.send(VITALS, device_id, b"\xff\x00garbage" + bytes([number, sequence % 256, sequence // 256]))
                planted["dead_lettered"] += 1
    rig.producer.flush(60)
    return planted


def test_killing_the_archive_at_random_points_loses_and_doubles_nothing(rig: ArchiveRig, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    planted = send_everything(rig, chance)
    log_file = tmp_path / "archive.log"
    stored_when_killed = []
    for kill in range(KILLS):
        process = start_archive(rig, log_file)
        # Anywhere between the first record of this life and some way into the rest; the last may be finished.
        goal = rig.store.count("acceleration") + chance.randrange(1, 2_500)
        await_stored(rig, min(goal, planted["stored"]), process, log_file)
        process.kill()
        process.wait()
        stored_when_killed.append(rig.store.count("acceleration"))
        assert kill == 0 or stored_when_killed[-1] >= stored_when_killed[-2]

    process = start_archive(rig, log_file)
    rig.await_archived(lambda: assert_alive(process, log_file))
    process.terminate()
    assert process.wait(DEADLINE_S) == 0, log_file.read_text()[-2_000:]

    rig.check_conservation()
    assert rig.positions_by_outcome() == planted
    assert stored_when_killed[0] < planted["stored"], "no kill came while there was work"
    for batch in rig.store.stream_documents("acceleration", {}):
        for document in batch:
            assert document["payload"] == messages.acceleration(document["device_id"], document["sequence"])


def await_stored(rig: ArchiveRig, goal: int, process: subprocess.Popen[bytes], log_file: Path) -> None:
    def reached() -> bool:
        assert_alive(process, log_file)
        return rig.store.count("acceleration") >= goal

    await_true(reached)


def assert_alive(process: subprocess.Popen[bytes], log_file: Path) -> None:
    assert process.poll() is None, log_file.read_text()[-2_000:]
