"""The embedded MongoDB: ``mongod`` from PATH, else ``nx-27017`` (MongoDB's wire protocol on SQLite, MIT)."""

from __future__ import annotations

import sys
from pathlib import Path

from wearables_platform.local import probes
from wearables_platform.local.choice import Choice, choose
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import ServerSpec

DATABASE = "wearables"


def mongo_spec(port: int, directory: Path, *, prefer_embedded: bool = False) -> ServerSpec:
    """Describe a MongoDB on loopback, without accounts: neither server offers them without a first start."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    choice = choose("mongo", prefer_embedded=prefer_embedded)
    return (_mongod if choice.server == "mongod" else _wheel)(choice, port, directory.resolve())


def _mongod(choice: Choice, port: int, directory: Path) -> ServerSpec:
    argv = (str(choice.binary), "--dbpath", str(directory), "--bind_ip", LOOPBACK, "--port", str(port))
    return ServerSpec(
        name="mongo",
        server=choice.server,
        version=choice.version,
        chosen=choice.chosen,
        argv=argv,
        address=(LOOPBACK, port),
        url=f"mongodb://{LOOPBACK}:{port}/{DATABASE}",
        probe=probes.mongo,
    )


def _wheel(choice: Choice, port: int, directory: Path) -> ServerSpec:
    pid_file = directory / "nx.pid"
    data = directory / "databases"
    data.mkdir(exist_ok=True, mode=0o700)
    argv = (sys.executable, "-m", "nx_27017.nx_27017", "--host", LOOPBACK, "--port", str(port))
    files = ("--data-dir", str(data), "--pid-file", str(pid_file), "--log-file", "/dev/null")
    return ServerSpec(
        name="mongo",
        server=choice.server,
        version=choice.version,
        chosen=choice.chosen,
        argv=(*argv, *files),  # it logs to stderr as well: one log is enough
        address=(LOOPBACK, port),
        url=f"mongodb://{LOOPBACK}:{port}/{DATABASE}",
        probe=probes.mongo,
        # A pid file left by kill -9 names a pid that may be somebody else's by now, and then it refuses to start.
        stale_files=(pid_file,),
    )
