"""The archive on a real Kafka and a real document store: every position is accounted for, whatever was in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from wearables_platform.clients.topics import dead_letter
from wearables_platform.domain.channels import ACCELERATION, CHANNELS, STATUS, VITALS
from wearables_platform.local import running
from wearables_platform.local.stages import archived_counts
from wearables_platform_tests import archive_rig, messages
from wearables_platform_tests.archive_rig import ArchiveRig
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mongo]


@pytest.fixture
def rig(start_server: StartServer, mongo_url: str) -> Iterator[ArchiveRig]:
    built = archive_rig.build(start_server("kafka").url, mongo_url)
    yield built
    built.store.close()


def test_every_message_of_every_channel_becomes_one_document(rig: ArchiveRig) -> None:
    sent = {}
    for channel in CHANNELS:
        for number in range(5):
            for sequence in range(20):
                payload = messages.make(channel, f"watch-{number}", sequence)
                rig.send(channel, f"watch-{number}", payload)
                sent[channel.name, f"watch-{number}", sequence] = payload
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()
    rig.check_conservation()

    found = {
        (channel.name, document["device_id"], document["sequence"]): document["payload"]
        for channel in CHANNELS
        for batch in rig.store.stream_documents(channel.collection, {"event_day": "2026-03-29"})
        for document in batch
    }
    assert found == sent
    assert rig.positions_by_outcome() == {"stored": 300, "duplicate": 0, "quarantined": 0, "dead_lettered": 0}


def test_bad_input_of_every_kind_is_accounted_for_by_its_reason(rig: ArchiveRig) -> None:
    good = [messages.acceleration("watch-1", i) for i in range(10)]
    for payload in (*good, good[3], good[3]):
        rig.send(ACCELERATION, "watch-1", payload)
    rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", 3, level_g=2.0))
    rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", 10, start_us=86_400_000_000))
    rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", 11, start_us=4_300_000_000_000_000))
    rig.send(VITALS, "watch-1", messages.vitals("watch-1", 0), verdict="before_registration")
    rig.send(ACCELERATION, "watch-1", b"\xff" * 40)
    rig.send(STATUS, "watch-1", b"")
    rig.send(VITALS, "watch-2", messages.vitals("watch-1", 1))
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()
    rig.check_conservation()

    assert rig.positions_by_outcome() == {"stored": 10, "duplicate": 2, "quarantined": 4, "dead_lettered": 3}
    shown = Counter[str]()
    for (_, _, outcome), count in archived_counts(rig.settings).items():
        shown[outcome] += count
    assert shown == rig.positions_by_outcome(), "what `wearables status` shows"
    reasons = Counter(
        document["reason"] for batch in rig.store.stream_documents("quarantine", {}) for document in batch
    )
    assert reasons == Counter(["payload_mismatch", "time_too_early", "time_in_future", "before_registration"])
    letters = [document for batch in rig.store.stream_documents("dead_letters", {}) for document in batch]
    assert Counter(letter["reason"] for letter in letters) == Counter(["undecodable", "empty", "forged_id"])
    assert {letter["consumer"] for letter in letters} == {"archive"}
    assert {letter["payload"] for letter in letters} == {b"\xff" * 40, b"", messages.vitals("watch-1", 1)}


def test_the_first_payload_of_an_identity_is_the_one_that_stays(rig: ArchiveRig) -> None:
    first, second = (messages.acceleration("watch-1", 0, level_g=level_g) for level_g in (1.0, 2.0))
    for payload in (first, second, first, second):
        rig.send(ACCELERATION, "watch-1", payload)
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()
    rig.check_conservation()
    ((stored,),) = rig.store.stream_documents("acceleration", {})
    assert stored["payload"] == first
    assert rig.positions_by_outcome() == {"stored": 1, "duplicate": 1, "quarantined": 2, "dead_lettered": 0}


def test_dead_letters_of_other_consumers_are_kept_once(rig: ArchiveRig) -> None:
    for payload in (b"garbage", b"garbage", b"the last"):  # a gateway that saw the client's resend
        dead_letter(
            rig.producer,
            source_topic="wearables/v1/watch-1/acceleration",
            consumer="bridge",
            stage="decode",
            reason="undecodable",
            detail="",
            payload=payload,
        )
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_letters(2)
    letters = [document for batch in rig.store.stream_documents("dead_letters", {}) for document in batch]
    assert {(letter["consumer"], letter["payload"], letter["offset"]) for letter in letters} == {
        ("bridge", b"garbage", -1),
        ("bridge", b"the last", -1),
    }
    assert len(letters) == 2


def test_a_restart_reads_on_and_adds_nothing(rig: ArchiveRig) -> None:
    for sequence in range(50):
        rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", sequence))
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()
    for sequence in range(50, 80):
        rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", sequence))
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()
    rig.check_conservation()
    assert rig.positions_by_outcome()["stored"] == 80


def test_a_new_log_with_the_same_messages_makes_them_duplicates(rig: ArchiveRig, start_server: StartServer) -> None:
    payloads = [messages.acceleration("watch-1", i) for i in range(10)]
    for payload in payloads:
        rig.send(ACCELERATION, "watch-1", payload)
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()

    again = archive_rig.build(start_server("kafka").url, rig.mongo_url, database=rig.database)
    for payload in payloads:
        again.send(ACCELERATION, "watch-1", payload)
    again.producer.flush(30)
    with again.archiving():
        again.await_archived()
    again.check_conservation()
    assert again.positions_by_outcome() == {"stored": 0, "duplicate": 10, "quarantined": 0, "dead_lettered": 0}
    again.store.close()


def test_a_store_that_goes_away_is_waited_for(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mongo = start_server("mongo")
    rig = archive_rig.build(start_server("kafka").url, mongo.url)
    with rig.archiving():
        rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", 0))
        rig.producer.flush(30)
        rig.await_archived()
        mongo.kill()
        for sequence in range(1, 200):
            rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", sequence))
        rig.producer.flush(30)
        again = running.start(mongo.spec, tmp_path_factory.mktemp("mongo-again"))
        rig.await_archived()
    rig.check_conservation()
    assert rig.positions_by_outcome()["stored"] == 200
    rig.store.close()
    again.stop()
