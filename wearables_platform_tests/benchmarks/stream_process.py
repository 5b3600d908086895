"""The stream as the process it is: started as its supervisor would, seen by its health, time and memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from wearables_platform.local.ports import free_ports
from wearables_platform.settings import Settings
from wearables_platform_tests.benchmarks.stream_job import PARTITIONS

PATIENCE_S = 120.0
WAITS = "waiting to take over"


class StreamProcess:
    """`wearables run stream`, by its health, its processor time and its memory; and how it is ended."""

    def __init__(self, settings: Settings, log_file: Path) -> None:
        self.settings, self.log_file = settings, log_file
        self._port = free_ports(1)[0]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        wanted = {name: self.settings.require(f"{name}_url") for name in ("kafka", "sql", "redis")}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_")}
        environment |= {f"WEARABLES_{name.upper()}_URL": url for name, url in wanted.items()}
        environment |= {
            "WEARABLES_RUN_DIR": str(self.settings.run_dir),
            "WEARABLES_TOPIC_PARTITIONS": str(PARTITIONS),
            "WEARABLES_STREAM_HEALTH_PORT": str(self._port),
            "WEARABLES_MODEL_SIGNING_KEY": "a key only benchmarks sign with",
        }
        environment |= {name: value for name, value in os.environ.items() if name.startswith("WEARABLES_STREAM_")}
        argv = [sys.executable, "-m", "wearables_platform.cli", "run", "stream"]
        self.settings.run_dir.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            return subprocess.Popen(argv, env=environment, stdout=log, stderr=log, start_new_session=True)

    def restart(self) -> None:
        """Start again what was killed."""
        self.process = self._start()

    def await_waiting(self) -> None:
        """Wait until it could take over from the stream that works."""
        deadline = time.monotonic() + PATIENCE_S
        while WAITS not in self.log_file.read_text():
            self.require_running()
            if time.monotonic() > deadline:
                msg = f"the second stream did not come to wait: {self._end_of_log()}"
                raise TimeoutError(msg)
            time.sleep(0.05)

    def await_ready(self) -> None:
        """Wait until it says that it does its work."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._ready():
            self.require_running()
            if time.monotonic() > deadline:
                msg = f"the stream did not become ready: {self._end_of_log()}"
                raise TimeoutError(msg)
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def metrics(self) -> str:
        """Return what it says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def require_running(self) -> None:
        """Raise with the end of its log if it has ended."""
        if (code := self.process.poll()) is not None:
            msg = f"the stream ended with {code}: {self._end_of_log()}"
            raise ChildProcessError(msg)

    def _end_of_log(self) -> str:
        return self.log_file.read_text()[-2_000:]

    def cpu_seconds(self) -> float:
        """Return the processor time of it and its children."""
        return sum(each.cpu_times().user + each.cpu_times().system for each in self._family())

    def rss_bytes(self) -> int:
        """Return the memory of it and its children."""
        return sum(each.memory_info().rss for each in self._family())

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def kill(self) -> None:
        """End it and its children like a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> None:
        """End it in good order."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
