"""The run directory of an instance: every path in it, by name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.files import write_atomically

SOCKET_PATH_LIMIT = 100  # the kernel's is 108, and supervisord binds "<path>.<pid>" first
LEAST_FREE_BYTES = 500_000_000  # an install's servers and one demo write about 300 MB


@dataclass(frozen=True)
class RunDirectory:
    """Where one instance keeps everything; two instances need two of them."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log file per server and process."""
        return self.root / "logs"

    @property
    def data(self) -> Path:
        """What the embedded servers keep."""
        return self.root / "data"

    @property
    def mqtt(self) -> Path:
        """The MQTT broker's password and access files."""
        return self.data / "mqtt"

    @property
    def lake(self) -> Path:
        """The embedded lake."""
        return self.data / "lake"

    @property
    def stream(self) -> Path:
        """The stream's recovery store: belongs to the Kafka it was written beside."""
        return self.root / "stream"

    @property
    def dagster_home(self) -> Path:
        """Dagster's instance directory."""
        return self.root / "dagster"

    @property
    def runtime_file(self) -> Path:
        """The settings of the running instance; there only while one runs."""
        return self.root / "runtime.env"

    @property
    def state_file(self) -> Path:
        """What runs, which server, and whether it is ready; there only while an instance runs."""
        return self.root / "state.json"

    @property
    def secrets_file(self) -> Path:
        """Passwords drawn at the first start; the servers' data is bound to them."""
        return self.root / "secrets.json"

    @property
    def supervisor_file(self) -> Path:
        """The supervisor's configuration."""
        return self.root / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """Where the supervisor answers; elsewhere when the path would be too long for a socket."""
        wanted = self.root.resolve() / "supervisor.sock"
        if len(str(wanted)) <= SOCKET_PATH_LIMIT:
            return wanted
        digest = hashlib.sha256(str(wanted).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"wearables-{os.getuid()}-{digest}" / "supervisor.sock"

    def create(self) -> None:
        """Make the directories, ours alone; a disk that is full or closed to us is one line."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.data.mkdir(exist_ok=True, mode=0o711)  # an unprivileged server walks through it to its own directory
            private = [self.logs, self.lake, self.stream, self.dagster_home]
            if self.supervisor_socket.parent != self.root.resolve():
                private.append(self.supervisor_socket.parent)
            for path in private:
                path.mkdir(exist_ok=True, mode=0o700)
        except OSError as exc:
            reason = "no space left" if exc.errno == errno.ENOSPC else exc.strerror
            msg = f"cannot make the run directory {self.root}: {reason}"
            raise StartError(msg, ExitCode.DISK) from exc
        self._check_space()

    def _check_space(self) -> None:
        free_bytes = shutil.disk_usage(self.root).free
        if free_bytes < LEAST_FREE_BYTES:
            msg = (
                f"only {free_bytes / 1e6:.0f} MB are free on the disk that holds {self.root}; "
                f"{LEAST_FREE_BYTES / 1e6:.0f} MB are needed"
            )
            raise StartError(msg, ExitCode.DISK)

    def read_state(self) -> dict[str, Any] | None:
        """Return what the running instance says of itself; None when there is none."""
        if not self.state_file.exists():
            return None
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state if state["pid"] == self.holder() else None  # a killed instance leaves its file behind

    def write_state(self, state: dict[str, Any]) -> None:
        """Say what runs."""
        write_atomically(self.state_file, json.dumps(state, indent=2) + "\n")

    def hold(self) -> int:
        """Take the instance's lock until this process ends; returns the descriptor that holds it."""
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode().strip()
            os.close(descriptor)
            msg = f"an instance is already running in {self.root} (pid {holder}): end it with `wearables down`"
            raise StartError(msg, ExitCode.ALREADY_RUNNING) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def holder(self) -> int | None:
        """Return the pid of the instance that holds the lock; None when nobody does."""
        if not (self.root / "lock").exists():
            return None
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(descriptor, 32, 0).decode().strip() or 0)
        else:
            return None
        finally:
            os.close(descriptor)

    def is_held(self) -> bool:
        """Tell whether an instance runs here."""
        return self.holder() is not None
