"""Write sorted fetches so that writing them again changes nothing, and every position ends in one collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from wearables_platform.archive.documents import (
    DEAD_LETTERS,
    DUPLICATES,
    QUARANTINE,
    Rejection,
    Sorted,
    duplicate_document,
    quarantine_document,
)
from wearables_platform.clients.mongo import Document, DocumentStore, Index
from wearables_platform.domain.channels import CHANNELS, Channel
from wearables_platform.domain.reasons import DeadLetterReason, QuarantineReason
from wearables_platform.errors import StoreRefused, StoreUnavailable

_POSITION: Final = ("topic", "partition", "offset", "log_id")
_BY_DAY: Final = Index(("event_day", "device_id"))


@dataclass(frozen=True)
class Written:
    """What became of the records of one fetch: counts by outcome, and what must be given up."""

    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejection] = field(default_factory=list)


class ArchiveSink:
    """The archive's collections.

    Delivery: `write` returns once everything is durable; after any failure the same fetch may be written again. A
    message is stored under its identity. Where that is taken, the stored one decides: written from the same position
    it is this very message; equal payload hash means duplicate; another payload means quarantine.
    """

    def __init__(self, store: DocumentStore, retention_s: int) -> None:
        self._store = store
        self._retention_s = retention_s

    def prepare(self) -> None:
        """Create the indexes: one for reading by day, one that expires documents by the time they were received."""
        expiry = Index(("received_at",), expire_after_s=self._retention_s)
        for channel in CHANNELS:
            self._store.ensure_indexes(channel.collection, [_BY_DAY, expiry])
        for collection in (QUARANTINE, DUPLICATES):
            self._store.ensure_indexes(collection, [expiry])
        self._store.ensure_indexes(DEAD_LETTERS, [Index(("at",), expire_after_s=self._retention_s)])

    def write(self, fetched: Sorted) -> Written:
        """Store, mark or quarantine every record of a fetch; what the store cannot hold is returned as rejected."""
        written = Written(rejected=list(fetched.rejected))
        contested = self._insert(fetched.channel, fetched.messages, written)
        duplicates, mismatches = self._judge(fetched.channel, contested, written)
        self._insert_positions(DUPLICATES, duplicates)
        self._insert_positions(QUARANTINE, [*fetched.quarantined, *mismatches])
        written.counts["duplicate"] += len(duplicates)
        written.counts["quarantined"] += len(fetched.quarantined) + len(mismatches)
        written.counts["dead_lettered"] += len(written.rejected)
        return written

    def write_dead_letters(self, documents: Sequence[Document]) -> int:
        """Keep dead letters of every consumer; returns how many were new."""
        firsts, _ = _first_of_each(documents)
        return len(firsts) - self._insert_positions(DEAD_LETTERS, firsts)

    def _insert(self, channel: Channel, messages: Sequence[Document], written: Written) -> list[Document]:
        """Insert messages under their identities and return those whose identity was taken."""
        contested: list[Document] = []
        pending = list(messages)
        while pending:
            # The first in log order wins: of several with one identity only it goes into the bulk.
            firsts, later = _first_of_each(pending)
            outcome = self._store.insert_new(channel.collection, firsts)
            refused_ids = {firsts[i]["_id"] for i in outcome.refused}
            written.rejected.extend(_poison(firsts[i], text) for i, text in outcome.refused.items())
            written.counts["stored"] += len(firsts) - len(outcome.existing) - len(outcome.refused)
            contested.extend(firsts[i] for i in outcome.existing)
            contested.extend(message for message in later if message["_id"] not in refused_ids)
            pending = [message for message in later if message["_id"] in refused_ids]
        return contested

    def _judge(
        self, channel: Channel, contested: Sequence[Document], written: Written
    ) -> tuple[list[Document], list[Document]]:
        duplicates: list[Document] = []
        mismatches: list[Document] = []
        ids = list({message["_id"] for message in contested})
        stored = self._store.find_by_ids(channel.collection, ids, ["payload_sha256", *_POSITION])
        for message in contested:
            kept = stored.get(message["_id"])
            if kept is None:
                # It expired in this very moment; the next attempt finds the identity free.
                msg = f"{message['_id']} vanished from {channel.collection}"
                raise StoreUnavailable(msg)
            if all(kept.get(name) == message[name] for name in _POSITION):
                written.counts["stored_before"] += 1
            elif kept["payload_sha256"] == message["payload_sha256"]:
                duplicates.append(duplicate_document(message, channel))
            else:
                mismatches.append(_mismatch(message, kept, channel))
        return duplicates, mismatches

    def _insert_positions(self, collection: str, documents: Sequence[Document]) -> int:
        """Insert documents named by position; one that is there already is the same record read again."""
        outcome = self._store.insert_new(collection, documents)
        if outcome.refused:
            i, text = next(iter(outcome.refused.items()))
            msg = f"{collection} cannot hold {documents[i]['_id']}: {text}"
            raise StoreRefused(msg)
        return len(outcome.existing)


def _first_of_each(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    seen: set[str] = set()
    firsts: list[Document] = []
    later: list[Document] = []
    for document in documents:
        (later if document["_id"] in seen else firsts).append(document)
        seen.add(document["_id"])
    return firsts, later


def _mismatch(message: Document, kept: Document, channel: Channel) -> Document:
    detail = f"stored from {kept['topic']}[{kept['partition']}]@{kept['offset']} with SHA-256 {kept['payload_sha256']}"
    return quarantine_document(message, channel, QuarantineReason.PAYLOAD_MISMATCH, detail)


def _poison(message: Document, text: str) -> Rejection:
    position = (message["topic"], message["partition"], message["offset"])
    return Rejection(*position, DeadLetterReason.POISON, text, message["payload"], "store")
