"""What every MongoDB must do for the platform, and what the client promises on top."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from wearables_platform.clients.mongo import DocumentStore, Index
from wearables_platform.errors import ConfigError, StoreUnavailable
from wearables_platform.local import running
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.contract, pytest.mark.mongo]
RECEIVED = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.fixture
def store(mongo_url: str) -> Iterator[DocumentStore]:
    opened = DocumentStore(mongo_url, "contract")
    yield opened
    opened.close()


@pytest.fixture
def collection(store: DocumentStore) -> Iterator[str]:
    name = f"contract_{uuid.uuid4().hex[:12]}"
    yield name
    store.delete(name, {})


def documents(begin: int, end: int, payload: bytes = b"\x00\xff") -> list[dict[str, object]]:
    return [
        {"_id": f"watch:{i}", "number": i, "day": f"2026-03-{i % 28 + 1:02d}", "at": RECEIVED, "payload": payload}
        for i in range(begin, end)
    ]


def test_a_bulk_says_which_documents_were_there_already(store: DocumentStore, collection: str) -> None:
    assert store.insert_new(collection, documents(0, 100)).existing == []
    outcome = store.insert_new(collection, documents(90, 110))
    assert sorted(outcome.existing) == list(range(10))
    assert outcome.refused == {}
    assert store.count(collection) == 110


def test_an_existing_document_stays_as_it_was(store: DocumentStore, collection: str) -> None:
    store.insert_new(collection, documents(0, 1, b"first"))
    store.insert_new(collection, documents(0, 1, b"second"))
    assert store.find_by_ids(collection, ["watch:0"], ["payload"])["watch:0"]["payload"] == b"first"


def test_one_document_that_cannot_be_written_does_not_stop_the_others(store: DocumentStore, collection: str) -> None:
    batch = documents(0, 6)
    batch[1]["fields"] = {"nul\0key": 1}
    batch[3]["number"] = 2**64
    batch[4]["_id"] = "watch:0"
    outcome = store.insert_new(collection, batch)
    assert sorted(outcome.refused) == [1, 3]
    assert outcome.existing == [4]
    assert store.count(collection) == 3


def test_values_come_back_as_they_went(store: DocumentStore, collection: str) -> None:
    value = {
        "_id": "x",
        "big": 2**63 - 1,
        "text": "nul\0 and ü",
        "bytes": bytes(range(256)),
        "at": RECEIVED,
        "none": None,
    }
    store.insert_new(collection, [value | {"list": [{"a": 1.5}, {"b": -1}], "map": {"k": "v"}}])
    ((found,),) = list(store.stream_documents(collection, {"_id": "x"}))
    assert found == value | {"list": [{"a": 1.5}, {"b": -1}], "map": {"k": "v"}}


def test_documents_are_found_by_many_ids(store: DocumentStore, collection: str) -> None:
    store.insert_new(collection, documents(0, 2_500))
    found = store.find_by_ids(collection, [f"watch:{i}" for i in range(2_400, 4_000)], ["number"])
    assert sorted(found) == sorted(f"watch:{i}" for i in range(2_400, 2_500))
    assert set(found["watch:2400"]) == {"_id", "number"}


def test_streaming_reads_everything_in_bounded_lists(store: DocumentStore, collection: str) -> None:
    store.insert_new(collection, documents(0, 1_000))
    batches = list(store.stream_documents(collection, {"number": {"$gte": 100}}, ["number"], batch=64, sort=["number"]))
    assert max(map(len, batches)) <= 128
    assert [document["number"] for batch in batches for document in batch] == list(range(100, 1_000))


def test_days_are_counted_and_listed(store: DocumentStore, collection: str) -> None:
    store.insert_new(collection, documents(0, 28 * 4))
    assert len(store.distinct(collection, "day")) == 28
    counted = store.aggregate(collection, [{"$group": {"_id": "$day", "n": {"$sum": 1}}}])
    assert {entry["n"] for entry in counted} == {4}


def test_indexes_may_be_asked_for_again_and_change_their_expiry(store: DocumentStore, collection: str) -> None:
    store.insert_new(collection, documents(0, 1))
    for days in (1, 1, 2):
        store.ensure_indexes(collection, [Index(("day", "number")), Index(("at",), expire_after_s=days * 86_400)])


def test_a_server_that_is_not_there_is_unavailable_not_wrong() -> None:
    store = DocumentStore("mongodb://127.0.0.1:9/wearables", "contract", timeout_s=0.2)
    with pytest.raises(StoreUnavailable):
        store.insert_new("anything", documents(0, 1))
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.close()


def test_a_wrong_url_is_named_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        DocumentStore("mongodb://me:sec/ret@host:port:x/", "contract")
    assert "ret" not in str(caught.value)


@pytest.mark.integration
def test_what_was_acknowledged_survives_a_kill(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("mongo")
    store = DocumentStore(server.url, "contract", timeout_s=10)
    store.insert_new("kept", documents(0, 500))
    server.kill()
    with pytest.raises(StoreUnavailable):
        DocumentStore(server.url, "contract", timeout_s=0.2).insert_new("kept", documents(500, 501))

    again = running.start(server.spec, tmp_path)
    try:
        assert store.count("kept") == 500
    finally:
        store.close()
        again.stop()
