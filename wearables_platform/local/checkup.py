"""What ``wearables doctor`` looks at: this machine, the servers that would run, and what they cannot do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.internal import api_implementation

from wearables_platform.local.choice import CHOSEN_BY_URL, choose
from wearables_platform.local.failures import StartError
from wearables_platform.local.layout import LEAST_FREE_BYTES, RunDirectory
from wearables_platform.local.limits import limits_of
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.servers import SERVER_NAMES, URL_SETTING
from wearables_platform.settings import Settings


@dataclass(frozen=True)
class Finding:
    """One line of the check-up."""

    name: str
    ok: bool
    detail: str
    limits: tuple[str, ...] = ()


def check_up(settings: Settings, run: RunDirectory) -> list[Finding]:
    """Look at everything; nothing is started or changed."""
    room = () if all(_elsewhere(settings, name) for name in SERVER_NAMES) else _room(run)
    return [*_machine(), *room, *_servers(settings, run), _lake(settings), _instance(run)]


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("python", (3, 11) <= sys.version_info[:2] <= (3, 12), f"{version} (3.11 or 3.12 is needed)")
    implementation = api_implementation.Type()
    yield Finding("protobuf", implementation == "upb", f"{implementation} (upb is needed)")
    yield Finding("cores", True, f"{os.cpu_count()} ({platform.machine()}, {platform.system()})")


def _room(run: RunDirectory) -> Iterator[Finding]:
    """Look at where servers that run here would write."""
    place = run.root if run.root.exists() else run.root.resolve().parent
    free_bytes = shutil.disk_usage(place).free
    yield Finding("disk", free_bytes >= LEAST_FREE_BYTES, f"{free_bytes / 1e9:.1f} GB free at {place}")
    writable = os.access(place, os.W_OK)
    yield Finding("run directory", writable, f"{run.root}{'' if writable else ' cannot be written'}")


def _elsewhere(settings: Settings, name: str) -> bool:
    """Whether others run it: a URL says so; of brokers an operator may know only where devices go."""
    return getattr(settings, URL_SETTING[name]) is not None or (name == "mqtt" and settings.mqtt_host != LOOPBACK)


def _servers(settings: Settings, run: RunDirectory) -> Iterator[Finding]:
    """Name each server: the running instance's, or the one that would be started."""
    state = run.read_state()
    running = {server["name"]: server for server in state["servers"]} if state else {}
    for name in SERVER_NAMES:
        if name in running:
            one = running[name]
            detail = f"{one['server']} {one['version']} ({one['chosen']}), running"
            yield Finding(name, True, detail, limits_of(one["server"]))
        elif _elsewhere(settings, name):
            yield Finding(name, True, f"{CHOSEN_BY_URL}: what it can do is its operator's to know")
        else:
            yield _would_start(name, prefer_embedded=settings.prefer_embedded)


def _would_start(name: str, *, prefer_embedded: bool) -> Finding:
    try:
        choice = choose(name, prefer_embedded=prefer_embedded)
    except StartError as exc:
        return Finding(name, ok=False, detail=str(exc))
    detail = f"{choice.server} {choice.version} ({choice.chosen}), would be started"
    return Finding(name, True, detail, limits_of(choice.server))


def _lake(settings: Settings) -> Finding:
    url = settings.lake_url or "file://, in the run directory"
    return Finding("lake", True, url.partition("?")[0], limits_of("file lake") if url.startswith("file:") else ())


def _instance(run: RunDirectory) -> Finding:
    pid = run.holder()
    return Finding("instance", True, f"running, pid {pid}" if pid else "not running")
