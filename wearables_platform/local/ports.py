"""Ports: the one a setting names, or a free one."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Mapping

from wearables_platform.local.failures import ExitCode, StartError

LOOPBACK = "127.0.0.1"


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Return distinct ports nobody listens on; all are held open together so that none is handed out twice."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind((host, 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def check_port_is_free(port: int, setting: str, host: str = LOOPBACK) -> None:
    """Raise `StartError` with the setting to change when the port is taken or not ours to take."""
    with socket.socket() as trial:
        # Servers bind with SO_REUSEADDR too: a port in TIME_WAIT is free, one that is listened on is not.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as exc:
            raise StartError(_explain(exc, port, setting, host), ExitCode.PORT_IN_USE) from exc


def _explain(exc: OSError, port: int, setting: str, host: str) -> str:
    reason = "is in use" if exc.errno == errno.EADDRINUSE else f"cannot be used ({os.strerror(exc.errno or 0)})"
    return f"port {port} on {host} {reason}: set {setting} to another one, or unset it to get a free one"


def choose_ports(wanted: Mapping[str, int | None], host: str = LOOPBACK) -> dict[str, int]:
    """Give every name its wanted port, checked, or a free one; ``wanted`` maps a setting's name to its value."""
    named = {key: port for key, port in wanted.items() if port is not None}
    for key, port in named.items():
        check_port_is_free(port, f"WEARABLES_{key.upper()}", host)
    _refuse_twins(named)
    open_names = [key for key in wanted if key not in named]
    return {**named, **dict(zip(open_names, _free_beside(named.values(), len(open_names), host), strict=True))}


def _refuse_twins(named: Mapping[str, int]) -> None:
    for key, port in named.items():
        twins = [other for other, its_port in named.items() if its_port == port]
        if len(twins) > 1:
            names = " and ".join(f"WEARABLES_{twin.upper()}" for twin in twins)
            msg = f"{names} both name port {port}: {key} needs one of its own"
            raise StartError(msg, ExitCode.PORT_IN_USE)


def _free_beside(taken: Iterable[int], count: int, host: str) -> list[int]:
    """Free ports that are not about to be used by a name that asked for one."""
    reserved = set(taken)
    candidates = free_ports(count + len(reserved), host)
    return [port for port in candidates if port not in reserved][:count]
