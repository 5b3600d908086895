"""The stream as several processes on one machine: started together, ended together, one result.

Lanes are dealt out to the workers of all processes; state and the engine's store lie in one run directory that all of
them see, so any number of processes or workers goes on where any other number stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wearables_platform.errors import ConfigError, StoreUnavailable
from wearables_platform.local.ports import free_ports
from wearables_platform.local.spec import tethered
from wearables_platform.logs import get_logger
from wearables_platform.settings import Settings

GRACE_S: Final = 90.0  # a sink may wait for its store for a minute before it gives up
_POLL_S: Final = 0.1
_log = get_logger(__name__)


@dataclass(frozen=True)
class Place:
    """Where this process stands in the cluster; without addresses it is alone."""

    index: int
    addresses: tuple[str, ...]
    workers: int

    @classmethod
    def of(cls, settings: Settings) -> Place:
        """Return this process's place as the settings give it."""
        addresses = tuple(filter(None, (settings.stream_addresses or "").split(",")))
        index = settings.stream_process_index or 0
        if addresses and index >= len(addresses):
            msg = f"WEARABLES_STREAM_PROCESS_INDEX is {index}, WEARABLES_STREAM_ADDRESSES names {len(addresses)}"
            raise ConfigError(msg)
        return cls(index, addresses, settings.stream_workers)


def is_parent(settings: Settings) -> bool:
    """Tell whether this process only starts the others."""
    return settings.stream_processes > 1 and settings.stream_process_index is None


def run_processes(settings: Settings, stopping: threading.Event, lock: int) -> None:
    """Run the cluster until `stopping` is set, then end it cleanly; all of them hold the lock (`stream.standby`).

    Raises
    ------
    StoreUnavailable
        One of the processes ended: the others are ended too, and whoever started this starts all of it again.
    """
    children = _start(settings, lock)
    _log.info("cluster started", processes=len(children), pids=[child.pid for child in children])
    try:
        while not stopping.is_set() and all(child.poll() is None for child in children):
            stopping.wait(_POLL_S)
    finally:
        _end(children)
    codes = [child.returncode for child in children]
    if any(codes):
        msg = f"the stream's processes ended with {codes}"
        raise StoreUnavailable(msg)


def _start(settings: Settings, lock: int) -> list[subprocess.Popen[bytes]]:
    addresses = settings.stream_addresses
    if addresses is None:
        ports = free_ports(settings.stream_processes)
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
    return [_child(index, addresses, lock) for index in range(settings.stream_processes)]


def _child(index: int, addresses: str, lock: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "WEARABLES_STREAM_ADDRESSES": addresses, "WEARABLES_STREAM_PROCESS_INDEX": str(index)}
    argv = tethered((sys.executable, "-m", "wearables_platform.cli", "run", "stream"))
    return subprocess.Popen(argv, env=environment, pass_fds=(lock,))


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all of them to end, and see to it that they do."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
