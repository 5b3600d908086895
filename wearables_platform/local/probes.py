"""Is a server ready? Asked in the server's own protocol over a bare socket, so that no driver is needed to know.

Each probe answers True only when the server would serve a client now; a refused connection, a time-out and a
server that is still starting are all False.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

PROBE_TIMEOUT_S = 2.0  # loopback answers in microseconds; a busy machine may take long to schedule the server

Address = tuple[str, int]


def _exchange(address: Address, request: bytes, expected_bytes: int) -> bytes:
    """Send one request and read up to ``expected_bytes``; empty when the server cannot be talked to."""
    try:
        with socket.create_connection(address, PROBE_TIMEOUT_S) as connection:
            connection.sendall(request)
            return _read(connection, expected_bytes)
    except OSError:
        return b""


def _read(connection: socket.socket, expected_bytes: int) -> bytes:
    reply = b""
    while len(reply) < expected_bytes:
        piece = connection.recv(expected_bytes - len(reply))
        if not piece:
            break
        reply += piece
    return reply


def tcp(address: Address) -> bool:
    """Tell whether anything accepts connections there."""
    try:
        socket.create_connection(address, PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def kafka(address: Address) -> bool:
    """Tell whether the broker answers ApiVersions (key 18, version 0) without an error code."""
    body = struct.pack(">hhih", 18, 0, 7, 5) + b"probe"
    reply = _exchange(address, struct.pack(">i", len(body)) + body, 10)
    return len(reply) == 10 and struct.unpack(">ih", reply[4:10]) == (7, 0)


def mqtt(address: Address) -> bool:
    """Tell whether the broker answers an anonymous CONNECT; that it refuses it is an answer."""
    variable = b"\x00\x04MQTT\x04\x02\x00\x05\x00\x05probe"
    reply = _exchange(address, bytes([0x10, len(variable)]) + variable, 4)
    return len(reply) == 4 and reply[0] == 0x20


def postgres(address: Address) -> bool:
    """Tell whether the server asks who we are; one that is still recovering answers with an error instead."""
    body = struct.pack(">i", 196_608) + b"user\x00probe\x00database\x00postgres\x00\x00"
    reply = _exchange(address, struct.pack(">i", len(body) + 4) + body, 1)
    return reply == b"R"


def mongo(address: Address) -> bool:
    """Tell whether the server answers ``hello`` (OP_MSG)."""
    document = b"\x10hello\x00\x01\x00\x00\x00" + b"\x02$db\x00\x06\x00\x00\x00admin\x00"
    bson = struct.pack("<i", len(document) + 5) + document + b"\x00"
    message = struct.pack("<i", 0) + b"\x00" + bson
    header = struct.pack("<iiii", len(message) + 16, 7, 0, 2013)
    reply = _exchange(address, header + message, 16)
    return len(reply) == 16 and struct.unpack("<iiii", reply)[2] == 7


def redis(address: Address) -> bool:
    """Tell whether the server answers PING; ``-NOAUTH`` is an answer, ``-LOADING`` is not readiness."""
    reply = _exchange(address, b"PING\r\n", 5)
    return reply in (b"+PONG", b"-NOAU")


def dagster_daemon(webserver: Address) -> bool:
    """Tell whether every daemon Dagster requires has a fresh heartbeat, as its web server sees it."""
    query = "{instance{daemonHealth{allDaemonStatuses{required healthy}}}}"
    connection = HTTPConnection(*webserver, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query}), {"Content-Type": "application/json"})
        answer = json.load(connection.getresponse())
        statuses = answer["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (OSError, HTTPException, ValueError, KeyError, TypeError):  # no answer, or one that is no answer yet
        return False
    finally:
        connection.close()
    return bool(statuses) and all(one["healthy"] for one in statuses if one["required"])


def http(url_path: str) -> Callable[[Address], bool]:
    """Build a probe that wants status 200 from a path."""
    request = f"GET {url_path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()

    def probe(address: Address) -> bool:
        status_line = _exchange(address, request, 12)
        return status_line[:7] == b"HTTP/1." and status_line[9:12] == b"200"

    return probe
