"""The platform under the demo: started as a child that ends with us, its ends told apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from wearables_platform.local import tether
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.running import log_tail
from wearables_platform.settings import Settings, load_settings

READY_TIMEOUT_S: Final = 240.0
STOP_TIMEOUT_S: Final = 90.0
POLL_S: Final = 0.2


class Instance:
    """One fresh instance of the platform, ours to use and to end."""

    def __init__(self, run: RunDirectory, options: Sequence[str] = ()) -> None:
        if run.is_held():
            msg = f"an instance is already running in {run.root}: end it with `wearables down`"
            raise StartError(msg, ExitCode.ALREADY_RUNNING)
        run.root.mkdir(parents=True, exist_ok=True)
        self.run = run
        self._log = run.root / "up.log"
        command = (sys.executable, "-m", "wearables_platform.cli", "up", "--fresh", *options)
        # SIGTERM rather than SIGKILL when we end: the servers then stop in good order.
        tie = (sys.executable, "-I", "-S", str(Path(tether.__file__)), "--signal", str(int(signal.SIGTERM)), "--")
        # The demo asks Dagster for each part itself, at the moment the part is about.
        environment = {**os.environ, "WEARABLES_RUN_DIR": str(run.root), "WEARABLES_FOLLOW_UPSTREAM": "false"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (*tie, *command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is ours to act on
            )

    def wait_ready(self, report: Callable[[str], None]) -> Settings:
        """Wait until everything is healthy; report each new line of its log; returns the instance's settings."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        reported = 0
        while (self.run.read_state() or {}).get("phase") != "ready":
            reported = self._report_from(reported, report)
            self.check()
            if time.monotonic() > deadline_s:
                msg = f"the platform was not ready within {READY_TIMEOUT_S:.0f} s: {log_tail(self._log)}"
                raise StartError(msg, ExitCode.UNHEALTHY)
            time.sleep(POLL_S)
        self._report_from(reported, report)
        return load_settings(run_dir=self.run.root)

    def _report_from(self, reported: int, report: Callable[[str], None]) -> int:
        lines = self._log.read_text(errors="replace").splitlines()
        for line in lines[reported:]:
            report(line)
        return len(lines)

    def check(self) -> None:
        """Raise if the instance has ended by itself."""
        if self._process.poll() is not None:
            last = log_tail(self._log, 1).removeprefix("wearables: ")
            code = self._process.returncode
            raise StartError(last, ExitCode(code) if code in set(map(int, ExitCode)) else ExitCode.FAILED)

    def stop(self) -> None:
        """End everything and wait for it."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Instance:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
