"""Sort a fetch into documents to store, documents to quarantine, and records that are no message. Pure.

What becomes of a record depends on the record alone (and, for duplicates, on what the store holds), so reading it
again after a crash decides the same again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

import pyarrow as pa

from wearables_platform.clients.log import Fetch
from wearables_platform.clients.mongo import Document
from wearables_platform.domain.channels import VITALS, Channel
from wearables_platform.domain.identity import boot_text
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.domain.time_policy import (
    QUARANTINE_PARTITION,
    US_PER_DAY,
    event_day,
    from_us,
    impossible_time,
    impossible_times,
)
from wearables_platform.wire.codec import Decoded

QUARANTINE: Final = "quarantine"
DUPLICATES: Final = "duplicates"
DEAD_LETTERS: Final = "dead_letters"
CONSUMER: Final = "archive"
# What decoding a record may raise if it has an error of its own; anything else is a failure of the process.
_RECORD_ERRORS: Final = (ValueError, TypeError, ArithmeticError, LookupError, pa.ArrowException)

Decode = Callable[[Channel, Sequence[bytes]], Decoded]


class Rejection(NamedTuple):
    """A record to give up: where it lies, why, and its bytes."""

    topic: str
    partition: int
    offset: int
    reason: DeadLetterReason
    detail: str
    payload: bytes
    stage: str = "decode"


@dataclass(frozen=True)
class Sorted:
    """A fetch of one channel, every record in exactly one list, each in log order."""

    channel: Channel
    messages: list[Document] = field(default_factory=list)
    quarantined: list[Document] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


def position_key(topic: str, partition: int, offset: int, log_id: str | None) -> str:
    """Name a log position for good: the topic's id tells it from the same offset of a re-created topic."""
    return f"{topic}:{partition}:{offset}" + (f"@{log_id}" if log_id else "")


def sort_fetch(channel: Channel, fetch: Fetch, log_id: str | None, decode: Decode) -> Sorted:
    """Sort a fetch; a record that breaks the decoder is found by bisection and given up alone."""
    try:
        return _sort(channel, fetch, log_id, decode(channel, fetch.payloads))
    except _RECORD_ERRORS as exc:
        if len(fetch) == 1:
            detail = f"{type(exc).__name__}: {exc}"[:200]
            poison = _rejection(fetch, 0, DeadLetterReason.POISON, detail)
            return Sorted(channel, rejected=[poison])
    middle = len(fetch) // 2
    halves = [
        sort_fetch(channel, _part(fetch, begin, end), log_id, decode)
        for begin, end in ((0, middle), (middle, len(fetch)))
    ]
    return Sorted(
        channel,
        [document for half in halves for document in half.messages],
        [document for half in halves for document in half.quarantined],
        [rejection for half in halves for rejection in half.rejected],
    )


def quarantine_document(message: Document, channel: Channel, reason: str, detail: str) -> Document:
    """Turn a message's document into its entry in the quarantine, named by its position."""
    kept = {name: value for name, value in message.items() if name not in _DECODED_FIELDS}
    return kept | {
        "_id": _position_of(message),
        "identity": message["_id"],
        "channel": channel.name,
        "reason": str(reason),
        "detail": detail,
        "event_day": QUARANTINE_PARTITION,
    }


def duplicate_document(message: Document, channel: Channel) -> Document:
    """Turn a message's document into the note that its position held a message stored already."""
    kept = {name: value for name, value in message.items() if name not in (*_DECODED_FIELDS, "payload")}
    return kept | {"_id": _position_of(message), "identity": message["_id"], "channel": channel.name}


def dead_letter_documents(fetch: Fetch, log_id: str | None) -> list[Document]:
    """Turn records of the dead-letter topic into documents; a record without its headers is kept all the same."""
    return [_dead_letter_document(fetch, i, log_id) for i in range(len(fetch))]


_DECODED_FIELDS: Final = ("heart_rate", "steps", "vendor")


def _sort(channel: Channel, fetch: Fetch, log_id: str | None, decoded: Decoded) -> Sorted:
    rejected = [_rejection(fetch, bad.position, bad.reason, bad.detail) for bad in decoded.rejected]
    result = Sorted(channel, rejected=rejected)
    rows, index = decoded.rows, decoded.index
    device_ids: list[str] = rows.column("device_id").to_pylist()
    start_us = rows.column("start_time_us").to_numpy()
    suspicious = impossible_times(start_us, fetch.append_us[index])
    documents = _documents(channel, fetch, log_id, decoded)
    for row, i in enumerate(index.tolist()):
        if fetch.keys[i] != device_ids[row].encode():
            detail = f"record key {fetch.keys[i]!r:.80}, payload of {device_ids[row]}"
            rejected.append(_rejection(fetch, i, DeadLetterReason.FORGED_ID, detail))
        elif suspicious[row] or i in fetch.verdicts:
            result.quarantined.append(_quarantined(channel, documents[row], fetch.verdicts.get(i)))
        else:
            result.messages.append(documents[row])
    rejected.sort(key=lambda rejection: rejection.offset)
    return result


def _documents(channel: Channel, fetch: Fetch, log_id: str | None, decoded: Decoded) -> list[Document]:
    rows, index = decoded.rows, decoded.index.tolist()
    decoded_fields = _vitals_fields(rows) if channel == VITALS else [{}] * rows.num_rows
    columns = zip(
        index,
        rows.column("device_id").to_pylist(),
        rows.column("boot_id").to_pylist(),
        rows.column("sequence").to_pylist(),
        rows.column("start_time_us").to_pylist(),
        rows.column("start_monotonic_us").to_pylist(),
        fetch.append_us[decoded.index].tolist(),
        fetch.offsets[decoded.index].tolist(),
        decoded_fields,
        strict=True,
    )
    return [
        {
            "_id": f"{device_id}:{boot_text(boot_id)}:{sequence}",
            "device_id": device_id,
            "boot_id": boot_text(boot_id),
            "sequence": sequence,
            "start_time_us": start_us,
            "start_monotonic_us": monotonic_us,
            "append_time_us": append_us,
            "received_at": _received(append_us),
            "topic": fetch.topic,
            "partition": fetch.partition,
            "offset": offset,
            "log_id": log_id,
            "payload_sha256": hashlib.sha256(fetch.payloads[i]).hexdigest(),
            "event_day": _day(start_us // US_PER_DAY),
            "payload": fetch.payloads[i],
            **extra,
        }
        for i, device_id, boot_id, sequence, start_us, monotonic_us, append_us, offset, extra in columns
    ]


def _vitals_fields(rows: pa.RecordBatch) -> list[Document]:
    columns = (rows.column(name).to_pylist() for name in _DECODED_FIELDS)
    return [
        {
            "heart_rate": [reading | {"bpm": _finite(reading["bpm"])} for reading in heart_rate],
            "steps": steps,
            "vendor": {_plain_key(name): value for name, value in vendor},
        }
        for heart_rate, steps, vendor in zip(*columns, strict=True)
    ]


def _finite(value: float) -> float | None:
    # Not every store can hold NaN or infinity; the payload beside it has the original.
    return value if math.isfinite(value) else None


def _plain_key(name: str) -> str:
    """Write a vendor's field name so that every MongoDB takes it as a key: no dot, dollar or NUL."""
    for character in "%.$\0":
        name = name.replace(character, f"%{ord(character):02X}")
    return name


def _quarantined(channel: Channel, message: Document, verdict: str | None) -> Document:
    start_us, append_us = message["start_time_us"], message["append_time_us"]
    detail = f"event time {from_us(start_us)}, appended {from_us(append_us)}"
    if verdict is not None:
        return quarantine_document(message, channel, verdict, f"the gateway's verdict; {detail}")
    return quarantine_document(message, channel, str(impossible_time(start_us, append_us)), detail)


def _dead_letter_document(fetch: Fetch, i: int, log_id: str | None) -> Document:
    headers = {name: value.decode("utf-8", "replace") for name, value in fetch.headers.get(i, {}).items()}
    offset = int(fetch.offsets[i])
    key = (fetch.keys[i] or b"").decode("utf-8", "replace") or position_key(fetch.topic, fetch.partition, offset, None)
    return {
        "_id": f"{key}@{log_id}" if log_id else key,
        "key": key,
        "source_topic": headers.get("source_topic", ""),
        "partition": _number(headers.get("partition")),
        "offset": _number(headers.get("offset")),
        "log_id": headers.get("log_id") or None,
        "consumer": headers.get("consumer", ""),
        "stage": headers.get("stage", ""),
        "reason": headers.get("reason", ""),
        "detail": headers.get("detail", ""),
        "payload": fetch.payloads[i],
        "at": from_us(int(fetch.append_us[i])),
    }


def _number(text: str | None) -> int:
    return int(text) if text and text.removeprefix("-").isdecimal() else -1


def _position_of(message: Document) -> str:
    return position_key(message["topic"], message["partition"], message["offset"], message["log_id"])


def _rejection(fetch: Fetch, i: int, reason: DeadLetterReason, detail: str) -> Rejection:
    return Rejection(fetch.topic, fetch.partition, int(fetch.offsets[i]), reason, detail, fetch.payloads[i])


def _part(fetch: Fetch, begin: int, end: int) -> Fetch:
    return replace(
        fetch,
        offsets=fetch.offsets[begin:end],
        append_us=fetch.append_us[begin:end],
        keys=fetch.keys[begin:end],
        payloads=fetch.payloads[begin:end],
        verdicts={i - begin: verdict for i, verdict in fetch.verdicts.items() if begin <= i < end},
        headers={i - begin: headers for i, headers in fetch.headers.items() if begin <= i < end},
    )


@lru_cache(maxsize=4_096)
def _day(day_number: int) -> str:
    return event_day(day_number * US_PER_DAY)


@lru_cache(maxsize=4_096)
def _received(append_us: int) -> datetime:
    return from_us(append_us)
