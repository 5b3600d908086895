"""The devices of the demo as processes: watched, and started again when they end before they are done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wearables_platform.errors import TerminalError
from wearables_platform.local.running import log_tail
from wearables_platform.local.spec import tethered

# A client that was killed starts again; one that fails by itself over and over will not get better.
MAX_STARTS: Final = 6


@dataclass
class ClientProcess:
    """One process that plays devices until everything they sent is confirmed."""

    name: str
    module: str
    arguments: Sequence[str]
    run_dir: Path
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log_file(self) -> Path:
        """Where it writes."""
        return self.run_dir / "logs" / f"client-{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Its process id, once it was started."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, or start it again."""
        self.starts += 1
        command = (sys.executable, "-m", self.module, *self.arguments)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                tethered(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "WEARABLES_RUN_DIR": str(self.run_dir)},
                start_new_session=True,
            )

    def done(self) -> bool:
        """Tell whether it has finished; starts it again if it ended before.

        Raises
        ------
        TerminalError
            It ended too often.
        """
        if self._process is None or self._process.poll() is None:
            return False
        if self._process.returncode == 0:
            return True
        if self.starts >= MAX_STARTS:
            msg = f"the client {self.name} ended {self.starts} times: {log_tail(self.log_file)}"
            raise TerminalError(msg)
        self.start()
        return False

    def finish(self, timeout_s: float) -> None:
        """Ask it to hand in what it has and to end, and wait for that.

        Raises
        ------
        TerminalError
            It did not end, or not everything it sent was confirmed.
        """
        assert self._process is not None, "started before"
        self._process.terminate()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            msg = f"the client {self.name} ended with {code}: {log_tail(self.log_file)}"
            raise TerminalError(msg)

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
