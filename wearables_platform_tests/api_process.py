"""The API as a process of its own, to stop and to kill, and a fleet that keeps writing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests

from wearables_platform.clients.redis import LatestWriter
from wearables_platform_tests.api_world import TOKEN
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates

START_TIMEOUT_S = 60.0
PERIOD_S = 0.1


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.05)


@dataclass
class ApiProcess:
    """`wearables run api` on a port that stays the same over restarts."""

    sql_url: str
    redis_url: str
    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "api.log"

    def start(self) -> None:
        settings = {
            "WEARABLES_SQL_URL": self.sql_url,
            "WEARABLES_REDIS_URL": self.redis_url,
            "WEARABLES_API_TOKEN": TOKEN,
            "WEARABLES_API_PORT": str(self.port),
            "WEARABLES_RUN_DIR": str(self.directory / "no-instance"),
        }
        argv = [sys.executable, "-m", "wearables_platform.cli", "run", "api"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, env={**os.environ, **settings}, stderr=log, start_new_session=True)
        wait_until(self._ready, "ready", START_TIMEOUT_S)

    def stop(self, *, with_signal: int = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        """Signal the process, or with SIGKILL its whole group, and return its exit status."""
        self.signal(with_signal)
        return self.wait(timeout_s)

    def signal(self, number: int) -> None:
        """Signal the process, or with SIGKILL its whole group."""
        assert self.process is not None
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.send_signal(number)

    def wait(self, timeout_s: float | None) -> int:
        """Wait for the process, and return its exit status."""
        assert self.process is not None
        status = self.process.wait(timeout_s)
        self.process = None
        return status

    def close(self) -> None:
        if self.process is not None:
            self.stop(with_signal=signal.SIGKILL)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False


@dataclass
class Fleet:
    """Writes new values of some devices, every 100 ms, until it is stopped."""

    writer: LatestWriter
    device_ids: list[str]
    stopping: threading.Event = field(default_factory=threading.Event)
    sequence: int = 0

    def run(self) -> None:
        while not self.stopping.wait(PERIOD_S):
            self.write_once(int(time.time() * 1e6))

    def write_once(self, now_us: int) -> None:
        self.sequence += 1
        vm_g = 1.0 + (self.sequence % 50) / 50
        fields = {
            "time_us": now_us, "append_us": now_us, "sequence": self.sequence, "boot_id": "00000000000000ff",
            "x_g": 0.0, "y_g": 0.0, "z_g": vm_g, "vm_g": vm_g, "rate_hz": 100.0,
        }  # fmt: skip
        points = [(now_us - 40_000 * back, vm_g - 0.01 * back) for back in (1, 0)]
        updates = [LatestUpdate(name, "motion", now_us, self.sequence, fields, points) for name in self.device_ids]
        write_updates(self.writer, updates)
