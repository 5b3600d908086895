"""What the archive makes of a fetch, before any store is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest

from wearables_platform.archive.documents import Sorted, dead_letter_documents, position_key, sort_fetch
from wearables_platform.clients.log import Fetch
from wearables_platform.domain.channels import ACCELERATION, DEAD_LETTERS_TOPIC, VITALS, Channel
from wearables_platform.domain.time_policy import from_us
from wearables_platform.wire.codec import Decoded, decode
from wearables_platform_tests import messages
from wearables_platform_tests.messages import START_US

APPEND_US = START_US + 3_600_000_000
LOG = "topic-id"


def fetch_of(
    channel: Channel,
    payloads: Sequence[bytes],
    keys: Sequence[bytes | None] | None = None,
    verdicts: dict[int, str] | None = None,
) -> Fetch:
    count = len(payloads)
    return Fetch(
        channel.topic,
        3,
        np.arange(100, 100 + count),
        np.full(count, APPEND_US),
        list(keys or [b"watch-1"] * count),
        list(payloads),
        verdicts or {},
    )


def sort(channel: Channel, payloads: Sequence[bytes], **fetched: object) -> Sorted:
    return sort_fetch(channel, fetch_of(channel, payloads, **fetched), LOG, decode)  # type: ignore[arg-type]


def test_a_document_says_who_when_where_and_keeps_the_bytes() -> None:
    payload = messages.acceleration("watch-1", 7)
    (document,) = sort(ACCELERATION, [payload]).messages
    assert document == {
        "_id": "watch-1:123456789abcdef0:7",
        "device_id": "watch-1",
        "boot_id": "123456789abcdef0",
        "sequence": 7,
        "start_time_us": START_US + 700_000,
        "start_monotonic_us": 700_000,
        "append_time_us": APPEND_US,
        "received_at": from_us(APPEND_US),
        "topic": ACCELERATION.topic,
        "partition": 3,
        "offset": 100,
        "log_id": LOG,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "event_day": "2026-03-29",
        "payload": payload,
    }


def test_vitals_are_kept_decoded_beside_the_bytes() -> None:
    payload = messages.vitals("watch-1", 0, vendor={"a.b$c\0%": "1", "plain": "2"})
    (document,) = sort(VITALS, [payload]).messages
    assert document["heart_rate"] == [{"time_us": START_US, "bpm": 61.5}]
    assert document["steps"] == [{"start_time_us": START_US, "end_time_us": START_US + 60_000_000, "count": 12}]
    assert document["vendor"] == {"a%2Eb%24c%00%25": "1", "plain": "2"}


@pytest.mark.parametrize("bpm", [float("nan"), float("inf")])
def test_a_heart_rate_that_is_no_number_is_kept_as_none(bpm: float) -> None:
    (document,) = sort(VITALS, [messages.vitals("watch-1", 0, bpm=bpm)]).messages
    assert document["heart_rate"][0]["bpm"] is None


def test_every_record_ends_in_exactly_one_list() -> None:
    payloads = [
        messages.acceleration("watch-1", 0),
        b"\xff\xff\xff",
        messages.acceleration("watch-1", 1, start_us=1_000),
        b"",
        messages.acceleration("watch-2", 2),
        messages.acceleration("watch-1", 3),
        messages.acceleration("watch-1", 4, start_us=APPEND_US + 3_700_000_000),
        messages.acceleration("watch-1", 5),
    ]
    result = sort(ACCELERATION, payloads, verdicts={5: "before_registration"})
    assert [document["offset"] for document in result.messages] == [100, 107]
    assert [(document["offset"], document["reason"]) for document in result.quarantined] == [
        (102, "time_too_early"),
        (105, "before_registration"),
        (106, "time_in_future"),
    ]
    assert [(rejection.offset, rejection.reason.value) for rejection in result.rejected] == [
        (101, "undecodable"),
        (103, "empty"),
        (104, "forged_id"),
    ]
    assert [rejection.payload for rejection in result.rejected] == [payloads[1], b"", payloads[4]]


def test_a_quarantined_message_is_named_by_its_position_and_keeps_its_identity() -> None:
    (entry,) = sort(VITALS, [messages.vitals("watch-1", 9)], verdicts={0: "before_registration"}).quarantined
    assert entry["_id"] == position_key(VITALS.topic, 3, 100, LOG) == "wearables.vitals.v1:3:100@topic-id"
    assert entry["identity"] == "watch-1:123456789abcdef1:9"
    assert entry["event_day"] == "quarantine"
    assert entry["channel"] == "vitals"
    assert "heart_rate" not in entry


def test_a_record_without_a_key_is_forged() -> None:
    result = sort(ACCELERATION, [messages.acceleration("watch-1", 0)], keys=[None])
    assert [rejection.reason for rejection in result.rejected] == ["forged_id"]


def test_a_record_that_breaks_the_decoder_is_given_up_alone() -> None:
    payloads = [messages.acceleration("watch-1", i) for i in range(13)]

    def breaks_on_the_eighth(channel: Channel, given: Sequence[bytes]) -> Decoded:
        if payloads[8] in given:
            msg = "index out of range"
            raise IndexError(msg)
        return decode(channel, given)

    result = sort_fetch(ACCELERATION, fetch_of(ACCELERATION, payloads, verdicts={9: "x"}), LOG, breaks_on_the_eighth)
    assert [document["offset"] for document in result.messages] == [100 + i for i in range(13) if i not in (8, 9)]
    assert [document["offset"] for document in result.quarantined] == [109]
    assert [(rejection.offset, rejection.reason.value) for rejection in result.rejected] == [(108, "poison")]


def test_a_dead_letter_without_headers_is_kept_all_the_same() -> None:
    fetch = Fetch(DEAD_LETTERS_TOPIC, 0, np.array([5]), np.array([APPEND_US]), [None], [b"bytes"])
    (document,) = dead_letter_documents(fetch, LOG)
    assert document["_id"] == f"{DEAD_LETTERS_TOPIC}:0:5@{LOG}"
    assert document["payload"] == b"bytes"
    assert document["offset"] == -1
