"""Bodies to messages: one, or a batch, as protobuf or JSON.

A protobuf batch is length-delimited: before each message its length as a varint, what every protobuf library writes
with ``writeDelimitedTo``. A JSON batch is an array.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from wearables_platform.domain.channels import Channel
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import WireError
from wearables_platform.ingest.json_form import parse_json, payload_from_document

# A day of one-minute vitals; bounds the work of one request.
MAX_BATCH_MESSAGES: Final = 1_440
# A batch's body may be so many times one message's: 4 MB by default, and times the requests in flight still memory.
MAX_BATCH_FACTOR: Final = 16
_MAX_VARINT_BYTES: Final = 5


class Item(NamedTuple):
    """One message as it came, and the payload to be written, or why there is none."""

    body: bytes
    payload: bytes
    problem: WireError | None = None


def one_item(channel: Channel, body: bytes, *, is_json: bool) -> Item:
    """Return a body that is one message."""
    if not is_json:
        return Item(body, body)
    try:
        return Item(body, payload_from_document(channel, parse_json(body)))
    except WireError as exc:
        return Item(body, b"", exc)


def batch_items(channel: Channel, body: bytes, *, is_json: bool) -> list[Item]:
    """Split a batch's body into messages.

    Raises
    ------
    WireError
        The body as a whole is no batch (broken framing, no array, empty, too many): no message of it was looked at.
    """
    items = [_json_item(channel, entry) for entry in _array(body)] if is_json else _delimited_items(body)
    if not items:
        raise WireError(DeadLetterReason.EMPTY, "a batch holds at least one message")
    return items


def _delimited_items(body: bytes) -> list[Item]:
    return [Item(part, part) for part in split_delimited(body)]


def split_delimited(body: bytes) -> list[bytes]:
    r"""Split length-delimited messages.

    >>> split_delimited(b"\x02ab\x00\x01c")
    [b'ab', b'', b'c']
    """
    parts: list[bytes] = []
    for begin, end in _spans(body):
        if len(parts) == MAX_BATCH_MESSAGES:
            raise WireError(DeadLetterReason.TOO_LARGE, f"more than {MAX_BATCH_MESSAGES} messages in a batch")
        parts.append(body[begin:end])
    return parts


def _spans(body: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(body):
        length, begin = _varint(body, position)
        end = begin + length
        if end > len(body):
            detail = f"the message at byte {position} says {length} bytes, {len(body) - begin} are left"
            raise WireError(DeadLetterReason.UNDECODABLE, detail)
        yield begin, end
        position = end


def _varint(body: bytes, position: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(body[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, position + i + 1
    raise WireError(DeadLetterReason.UNDECODABLE, f"no length at byte {position}")


def _array(body: bytes) -> list[Any]:
    document = parse_json(body)
    if not isinstance(document, list):
        raise WireError(DeadLetterReason.UNDECODABLE, "a JSON batch is an array of messages")
    if len(document) > MAX_BATCH_MESSAGES:
        raise WireError(DeadLetterReason.TOO_LARGE, f"more than {MAX_BATCH_MESSAGES} messages in a batch")
    return document


def _json_item(channel: Channel, entry: Any) -> Item:
    body = json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()
    try:
        return Item(body, payload_from_document(channel, entry))
    except WireError as exc:
        return Item(body, b"", exc)
