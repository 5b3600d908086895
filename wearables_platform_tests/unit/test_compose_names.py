"""The name server of the rig answers what HAProxy and a C library ask."""

from __future__ import annotations

import socket

from wearables_platform_tests.compose_names import answer

ADDRESSES = {"ingest-1": "10.0.0.7"}


def question(name: str, kind: int) -> bytes:
    return b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0" + bytes([len(name)]) + name.encode() + bytes([0, 0, kind, 0, 1])


def test_a_service_has_an_address_and_no_other_record() -> None:
    assert answer(question("ingest-1", 1), ADDRESSES).endswith(socket.inet_aton("10.0.0.7"))
    said = answer(question("ingest-1", 28), ADDRESSES)
    assert (said[:2], said[3] & 0x0F, said[6:8]) == (b"\x12\x34", 0, b"\0\0")


def test_a_name_of_nobody_is_not_there() -> None:
    assert answer(question("elsewhere", 1), ADDRESSES)[3] & 0x0F == 3
