"""The demo as a whole: its scorecard notices a lost message, and survives the death of every process.

Each test runs the whole platform and takes minutes; `make demo-test` and CI run them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.demo, pytest.mark.timeout(900)]

DEMO_TIMEOUT_S = 600.0
POLL_S = 0.2
# Dagster's processes serve nothing the demo's own batch runs need, but people have the UI open.
PROCESSES = (
    "bridge",
    "ingest",
    "archive",
    "stream",
    "api",
    "webhooks",
    "dagster-code",
    "dagster-webserver",
    "dagster-daemon",
)
ARGUMENTS = {
    **{name: f"wearables_platform.cli\0run\0{name}" for name in PROCESSES[:5]},
    "dagster-code": "dagster\0api\0grpc",
    "dagster-webserver": "dagster_webserver",
    "dagster-daemon": "dagster._daemon",
    "recordings": "wearables_platform.edge.run_recordings",
    "vitals": "wearables_platform.edge.run_vitals",
    "fleet": "wearables_platform.edge.run_fleet",
}


class RunningDemo:
    """A demo in its own run directory, and the pids of its processes."""

    def __init__(self, run_dir: Path, *options: str) -> None:
        self.run_dir = run_dir
        command = [sys.executable, "-m", "wearables_platform.cli", "demo", "--no-keep", *options]
        environment = {**os.environ, "WEARABLES_RUN_DIR": str(run_dir), "COLUMNS": "200"}
        self._output = run_dir.parent / "demo.out"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def wait(self) -> int:
        return self.process.wait(DEMO_TIMEOUT_S)

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def lines(self) -> dict[str, dict[str, Any]]:
        scorecard = json.loads((self.run_dir / "scorecard.json").read_text())
        return {line["name"]: line for line in scorecard["lines"]}

    def pid(self, name: str) -> int | None:
        """Find a process of this run by its command line and the run directory in its environment."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
                    is_ours = str(self.run_dir.resolve()).encode() in (entry / "environ").read_bytes()
                    if is_ours and ARGUMENTS[name] in arguments and "tether" not in arguments:
                        return int(entry.name)
        return None

    def kill(self, name: str) -> None:
        """Kill -9 a process as soon as it is there."""
        pid = self._until(lambda: self.pid(name), name)
        os.kill(pid, signal.SIGKILL)

    def _until(self, found: Callable[[], int | None], what: str) -> int:
        deadline = time.monotonic() + DEMO_TIMEOUT_S
        while (value := found()) is None:
            assert self.process.poll() is None, f"the demo ended before {what} ran:\n{self.output}"
            assert time.monotonic() < deadline, what
            time.sleep(POLL_S)
        return value

    def wait_for(self, text: str) -> None:
        """Wait until the demo has said something."""
        self._until(lambda: 1 if text in self.output else None, text)

    def wait_for_file(self, name: str) -> None:
        """Wait until a file of the run exists."""
        self._until(lambda: 1 if (self.run_dir / name).exists() else None, name)


@contextmanager
def running_demo(run_dir: Path, *options: str) -> Iterator[RunningDemo]:
    demo = RunningDemo(run_dir, *options)
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.process.send_signal(signal.SIGINT)
            demo.process.wait(120)


def test_a_message_lost_inside_the_platform_turns_the_scorecard_red(open_tmp_path: Path) -> None:
    with running_demo(open_tmp_path / "run", "--seed", "11", "--sabotage", "drop-message") as demo:
        assert demo.wait() == 1, demo.output
        assert not demo.lines["conservation:archive"]["ok"]
        assert "lost" in demo.lines["conservation:archive"]["problems"][0]
        assert demo.lines["conservation:stream"]["ok"]


def test_every_process_may_be_killed_and_the_scorecard_is_green(open_tmp_path: Path) -> None:
    with running_demo(open_tmp_path / "run", "--seed", "12") as demo:
        demo.wait_for_file("demo/recordings.spool")
        for name in ("recordings", "bridge", "vitals", "ingest", "archive", "stream", *PROCESSES[4:]):
            demo.kill(name)
        demo.wait_for_file("demo/fleet.spool")
        for name in ("fleet", "bridge", "stream", "archive"):
            demo.kill(name)
        assert demo.wait() == 0, demo.output
        restarted = (demo.run_dir / "up.log").read_text()
        assert all(f"{name} had ended and was started again" in restarted for name in PROCESSES)


def test_nothing_is_left_after_ctrl_c(open_tmp_path: Path) -> None:
    with running_demo(open_tmp_path / "run", "--seed", "13") as demo:
        demo.wait_for_file("demo/recordings.spool")
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(120) == 130
        assert {name: demo.pid(name) for name in ARGUMENTS} == dict.fromkeys(ARGUMENTS)
