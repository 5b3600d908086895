"""The archive's laws: however the log is cut, repeated or interrupted, the collections end up the same."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.archive.documents import Sorted, sort_fetch
from wearables_platform.archive.sink import ArchiveSink
from wearables_platform.clients.log import Fetch
from wearables_platform.clients.mongo import Document, DocumentStore, Index, InsertOutcome
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.errors import StoreUnavailable
from wearables_platform.wire.codec import decode
from wearables_platform_tests import messages
from wearables_platform_tests.messages import START_US

APPEND_US = START_US + 3_600_000_000


class FakeStore(DocumentStore):
    """Documents in memory, with MongoDB's rule for ``_id``; it cannot hold payloads in `refuses`."""

    def __init__(self) -> None:
        self.collections: dict[str, dict[str, Document]] = {}
        self.refuses: set[bytes] = set()
        self.fails_in: int | None = None

    def ensure_indexes(self, collection: str, indexes: Sequence[Index]) -> None: ...

    def insert_new(self, collection: str, documents: Sequence[Document]) -> InsertOutcome:
        held = self.collections.setdefault(collection, {})
        outcome = InsertOutcome()
        for i, document in enumerate(documents):
            self._count_down()
            if document.get("payload") in self.refuses:
                outcome.refused[i] = "cannot hold it"
            elif document["_id"] in held:
                outcome.existing.append(i)
            else:
                held[document["_id"]] = copy.deepcopy(document)
        return outcome

    def find_by_ids(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Document]:
        held = self.collections.get(collection, {})
        return {name: held[name] for name in ids if name in held}

    def _count_down(self) -> None:
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                self.fails_in = None
                msg = "killed in the middle of a bulk"
                raise StoreUnavailable(msg)


# What a record of the log may be: (kind, sequence); few sequences, so that identities collide often.
RECORDS = st.lists(
    st.tuples(st.sampled_from(["good", "good", "good", "other", "early", "garbage", "forged"]), st.integers(0, 6)),
    min_size=1,
    max_size=40,
)


def payload_of(kind: str, sequence: int) -> bytes:
    match kind:
        case "good":
            return messages.acceleration("watch-1", sequence)
        case "other":
            return messages.acceleration("watch-1", sequence, level_g=3.0)
        case "early":
            return messages.acceleration("watch-1", sequence, start_us=1)
        case "forged":
            return messages.acceleration("watch-2", sequence)
    return b"\xff" + bytes([sequence])


def fetch_of(log: Sequence[tuple[str, int]], begin: int, end: int) -> Sorted:
    payloads = [payload_of(kind, sequence) for kind, sequence in log[begin:end]]
    count = len(payloads)
    keys: list[bytes | None] = [b"watch-1"] * count
    fetch = Fetch(ACCELERATION.topic, 0, np.arange(begin, end), np.full(count, APPEND_US), keys, payloads)
    return sort_fetch(ACCELERATION, fetch, "log", decode)


def archive_whole(log: Sequence[tuple[str, int]]) -> tuple[FakeStore, set[int]]:
    store = FakeStore()
    written = ArchiveSink(store, 1).write(fetch_of(log, 0, len(log)))
    return store, {rejection.offset for rejection in written.rejected}


def model(log: Sequence[tuple[str, int]]) -> Counter[str]:
    """What must become of a log, said without a store."""
    kept: dict[int, str] = {}
    outcomes: Counter[str] = Counter()
    for kind, sequence in log:
        if kind in ("garbage", "forged"):
            outcomes["dead_lettered"] += 1
        elif kind == "early":
            outcomes["quarantined"] += 1
        elif sequence not in kept:
            kept[sequence] = kind
            outcomes["stored"] += 1
        else:
            outcomes["duplicate" if kept[sequence] == kind else "quarantined"] += 1
    return outcomes


@given(RECORDS)
def test_every_position_ends_in_exactly_one_place_and_in_the_right_one(log: list[tuple[str, int]]) -> None:
    store, rejected = archive_whole(log)
    held = {name: {entry["offset"] for entry in entries.values()} for name, entries in store.collections.items()}
    positions = [*held.values(), rejected]
    assert sum(map(len, positions)) == len(log)
    assert set().union(*positions) == set(range(len(log)))
    expected = model(log)
    assert len(held.get("acceleration", ())) == expected["stored"]
    assert len(held.get("duplicates", ())) == expected["duplicate"]
    assert len(held.get("quarantine", ())) == expected["quarantined"]
    assert len(rejected) == expected["dead_lettered"]


@given(RECORDS, st.data())
def test_any_chunks_with_crashes_anywhere_end_in_the_same_collections(log: list[tuple[str, int]], data: Any) -> None:
    whole, rejected_whole = archive_whole(log)
    store, rejected = FakeStore(), set[int]()
    sink, committed = ArchiveSink(store, 1), 0
    while committed < len(log):
        end = data.draw(st.integers(committed + 1, len(log)), "chunk end")
        # A crash leaves what was written and commits nothing: the next life reads from there, in other chunks.
        store.fails_in = data.draw(st.one_of(st.none(), st.integers(0, end - committed)), "documents until the crash")
        try:
            written = sink.write(fetch_of(log, committed, end))
        except StoreUnavailable:
            continue
        rejected |= {rejection.offset for rejection in written.rejected}
        if data.draw(st.booleans(), "crash before the commit"):
            continue
        committed = end
    assert {name: held for name, held in store.collections.items() if held} == {
        name: held for name, held in whole.collections.items() if held
    }
    assert rejected == rejected_whole


def test_a_message_the_store_cannot_hold_is_given_up_alone() -> None:
    store = FakeStore()
    store.refuses = {payload_of("good", 1)}
    log = [("good", 0), ("good", 1), ("good", 1), ("good", 2)]
    written = ArchiveSink(store, 1).write(fetch_of(log, 0, len(log)))
    assert [(bad.offset, bad.reason.value, bad.stage) for bad in written.rejected] == [
        (1, "poison", "store"),
        (2, "poison", "store"),
    ]
    assert sorted(entry["offset"] for entry in store.collections["acceleration"].values()) == [0, 3]


def test_another_payload_may_take_an_identity_the_store_refused() -> None:
    store = FakeStore()
    store.refuses = {payload_of("good", 1)}
    log = [("good", 1), ("other", 1)]
    written = ArchiveSink(store, 1).write(fetch_of(log, 0, len(log)))
    assert [bad.offset for bad in written.rejected] == [0]
    assert [entry["offset"] for entry in store.collections["acceleration"].values()] == [1]


def test_a_document_that_expires_while_it_is_compared_is_tried_again() -> None:
    class Expiring(FakeStore):
        def find_by_ids(self, collection: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Document]:
            self.collections[collection].clear()
            return {}

    sink = ArchiveSink(Expiring(), 1)
    with pytest.raises(StoreUnavailable, match="vanished"):
        sink.write(fetch_of([("good", 0), ("good", 0)], 0, 2))
