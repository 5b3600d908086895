"""Names of services over DNS, as Docker's engine answers them: HAProxy asks while it runs, and not `/etc/hosts`."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Final

A: Final = 1
HEADER_BYTES: Final = 12
AUTHORITATIVE: Final = 0x8580
NO_SUCH_NAME: Final = 3
TTL_S: Final = 1


def answer(query: bytes, addresses: Mapping[str, str]) -> bytes:
    """Answer one question: the address of a service, nothing of another kind, or that there is no such name."""
    labels, at = [], HEADER_BYTES
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[HEADER_BYTES : at + 5]
    (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
    address = addresses.get(".".join(labels).lower())
    record = b""
    if address and kind == A:
        record = struct.pack("!HHHIH", 0xC000 | HEADER_BYTES, A, 1, TTL_S, 4) + socket.inet_aton(address)
    flags = AUTHORITATIVE | (0 if address else NO_SUCH_NAME)
    return query[:2] + struct.pack("!HHHHH", flags, 1, int(bool(record)), 0, 0) + question + record


def main() -> None:
    """Serve `ADDRESS` port 53 with the names of a JSON object."""
    addresses = json.loads(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((sys.argv[1], 53))
        while True:
            query, asker = server.recvfrom(4096)
            server.sendto(answer(query, addresses), asker)


if __name__ == "__main__":
    main()
