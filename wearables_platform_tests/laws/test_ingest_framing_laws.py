"""Batches: what is framed comes apart again, and bytes that are no batch are refused, never misread."""

from __future__ import annotations

import pytest
from google.protobuf.internal.encoder import _VarintBytes  # what writeDelimitedTo writes
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.domain.channels import VITALS
from wearables_platform.errors import WireError
from wearables_platform.ingest.framing import MAX_BATCH_MESSAGES, batch_items, split_delimited


def framed(parts: list[bytes]) -> bytes:
    return b"".join(_VarintBytes(len(part)) + part for part in parts)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_framed_messages_come_apart_as_they_went_in(parts: list[bytes]) -> None:
    assert split_delimited(framed(parts)) == parts


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5), st.data())
def test_a_batch_cut_inside_a_message_is_refused(parts: list[bytes], data: st.DataObject) -> None:
    whole = framed(parts)
    ends = {len(framed(parts[:i])) for i in range(len(parts) + 1)}
    cut = data.draw(st.sampled_from([i for i in range(len(whole)) if i not in ends]))
    with pytest.raises(WireError, match="undecodable"):
        split_delimited(whole[:cut])


@given(st.binary(max_size=500), st.booleans())
def test_any_bytes_are_a_batch_or_refused(body: bytes, is_json: bool) -> None:
    try:
        items = batch_items(VITALS, body, is_json=is_json)
    except WireError:
        return
    assert 1 <= len(items) <= MAX_BATCH_MESSAGES
