"""A fleet in real time before the running stream: what is seen of both from outside, and whether all of it arrived."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.domain.identity import boot_text
from wearables_platform.settings import Settings
from wearables_platform_tests.benchmarks import fleet
from wearables_platform_tests.benchmarks.fleet_log import BLOCK_US, device_id
from wearables_platform_tests.benchmarks.live_check import what_is_wrong
from wearables_platform_tests.benchmarks.stream_job import stage
from wearables_platform_tests.benchmarks.stream_process import PATIENCE_S, StreamProcess

PROBED = 40
LOOK_EVERY_S = 0.004
# The first seconds of a run are left out: first batches, devices met for the first time.
WARM_S = 2.0
BEHIND_S = 1.5  # a stream further behind than this when its fleet falls silent has not kept up


@dataclass
class Platform:
    """Servers, a running stream, and what was sent to it so far."""

    settings: Settings
    stream: StreamProcess
    directory: Path
    sent: int = 0
    boots: int = 0


@contextmanager
def live_platform() -> Iterator[Platform]:
    """Start servers and stream; everything is gone afterwards."""
    with stage() as here, tempfile.TemporaryDirectory(prefix="wearables-bench-live-") as directory:
        settings = here.with_broker()
        platform = Platform(settings, StreamProcess(settings, Path(directory) / "stream.log"), Path(directory))
        try:
            platform.stream.await_ready()
            yield platform
        finally:
            platform.stream.stop()  # the one that works by now


@dataclass(frozen=True)
class Run:
    """What a fleet's run gave.

    Attributes
    ----------
    cores, cpu_us_each
        Processor time of the stream alone: per second, and per message in microseconds.
    idle_share
        Of the whole machine, while the fleet sent.
    latency_s
        One per probed message: from its sending to the look that first saw it, or a later one of its device.
    behind_s
        How long after the last message was sent the last one of every probed device was seen.
    late_s
        How late the fleet itself was, at worst.
    wrong
        What was lost, twice, or different.
    """

    devices: int
    seconds: float
    cores: float
    idle_share: float
    latency_s: npt.NDArray[np.float64]
    behind_s: float
    late_s: float
    wrong: str

    @property
    def rate(self) -> float:
        """Messages offered per second."""
        return self.devices * 1e6 / BLOCK_US

    @property
    def cpu_us_each(self) -> float:
        """Microseconds of the stream's processor time per message."""
        return self.cores / self.rate * 1e6

    @property
    def kept_up(self) -> bool:
        """Whether the rate was both offered and taken."""
        return self.late_s < 1.0 and self.behind_s < BEHIND_S


def run_fleet(
    platform: Platform, devices: int, seconds: float, *, at_look: Callable[[float, Probe], None] | None = None
) -> Run:
    """Let a fleet send for some seconds, watch, and check; `at_look` gets the seconds since its begin at each look."""
    platform.boots += 1
    sending = start_fleet(platform, devices, seconds)
    probe = Probe(LatestReader(platform.settings.require("redis_url"), "bench-probe"), sending)
    meters = Meters(platform.stream)
    deadline = time.monotonic() + seconds + PATIENCE_S
    while (sends := sending.process.poll() is None) or not probe.all_seen():
        probe.look()
        if at_look is not None:
            at_look(sending.elapsed_s(), probe)
        elif sends:
            meters.read(sending.elapsed_s(), seconds)
        if time.monotonic() > deadline:
            msg = f"the newest values stopped at {probe.newest.min()} of {sending.blocks}"
            raise TimeoutError(msg)
        platform.stream.require_running()
        time.sleep(LOOK_EVERY_S)
    sent_us = sending.sent_us()
    platform.sent += sending.messages
    latency_s, behind_s = probe.latencies_s(sent_us)
    return Run(
        devices,
        seconds,
        meters.cores,
        meters.idle_share,
        latency_s,
        behind_s,
        float((sent_us - sending.due_us()).max()) / 1e6,
        what_is_wrong(platform.settings, sending, platform.sent),
    )


@dataclass(frozen=True)
class Sending:
    """A fleet that sends: its process, and what it was told."""

    process: subprocess.Popen[bytes]
    devices: int
    blocks: int
    begin_us: int
    boot_id: int
    report: Path

    @property
    def messages(self) -> int:
        """Messages in all."""
        return self.devices * self.blocks

    def elapsed_s(self) -> float:
        """Seconds since its first samples were taken."""
        return time.time_ns() / 1e9 - self.begin_us / 1e6

    def sent_us(self) -> npt.NDArray[np.int64]:
        """Return when each (block, group) was sent; raises if the fleet failed."""
        if self.process.returncode:
            msg = f"the fleet ended with {self.process.returncode}"
            raise ChildProcessError(msg)
        sent = json.loads(self.report.read_text())["sent_us"]
        return np.array(sent, np.int64).reshape(self.blocks, fleet.GROUPS)

    def due_us(self) -> npt.NDArray[np.int64]:
        """Return when each (block, group) was to be sent."""
        block, group = np.arange(self.blocks)[:, None], np.arange(fleet.GROUPS)
        return self.begin_us + (block + 1) * BLOCK_US + group * fleet.GROUP_US


def start_fleet(platform: Platform, devices: int, seconds: float) -> Sending:
    """Start a fleet that begins at the next whole second for which it can be ready."""
    lead_us = 2_000_000 + devices * 100
    begin_us = (time.time_ns() // 1_000 + lead_us) // 1_000_000 * 1_000_000
    report = platform.directory / f"fleet-{platform.boots}.json"
    told: dict[str, Any] = {
        "--kafka-url": platform.settings.require("kafka_url"), "--devices": devices, "--seconds": seconds,
        "--begin-us": begin_us, "--boot": platform.boots, "--report": report,
    }  # fmt: skip
    words = [str(word) for pair in told.items() for word in pair]
    process = subprocess.Popen([sys.executable, "-m", "wearables_platform_tests.benchmarks.fleet", *words])
    return Sending(process, devices, round(seconds * 1e6 / BLOCK_US), begin_us, platform.boots, report)


class Probe:
    """Looks at some devices' newest values as any reader of Redis would."""

    def __init__(self, reader: LatestReader, sending: Sending) -> None:
        self._reader, self._sending = reader, sending
        self.devices = sorted({int(at) for at in np.linspace(0, sending.devices - 1, PROBED)})
        self._names = [device_id(device) for device in self.devices]
        self._boot = boot_text(sending.boot_id)
        self.newest = np.full(len(self.devices), -1)
        self._seen_us = np.zeros((len(self.devices), sending.blocks), np.int64)

    def look(self) -> int:
        """Look once and remember which messages were covered first now; returns the time."""
        found = self._reader.latest(self._names)
        now_us = time.time_ns() // 1_000
        for i, values in enumerate(found):
            if values.get("boot_id") == self._boot and (sequence := int(values["sequence"])) > self.newest[i]:
                self._seen_us[i, self.newest[i] + 1 : sequence + 1] = now_us
                self.newest[i] = sequence
        return now_us

    def all_seen(self) -> bool:
        """Tell whether the last message of every device was seen."""
        return bool((self.newest == self._sending.blocks - 1).all())

    def lag_s(self) -> float:
        """Return how old the stalest newest value is, over what a device's message takes to be due."""
        due_us = self._sending.begin_us + (self.newest.min() + 1) * BLOCK_US
        return time.time_ns() / 1e9 - due_us / 1e6

    def latencies_s(self, sent_us: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], float]:
        """Return the latency of every message seen after the warm-up, and how far behind the last of all was."""
        groups = np.array(self.devices) % fleet.GROUPS
        latency_s = (self._seen_us - sent_us[:, groups].T) / 1e6
        warm = round(WARM_S * 1e6 / BLOCK_US)
        return latency_s[:, warm:].ravel(), float((self._seen_us.max() - sent_us.max()) / 1e6)


@dataclass
class Meters:
    """Reads processor times of the stream and of the machine at the end of the warm-up and near the end."""

    stream: StreamProcess
    began: tuple[float, float, Any] | None = None
    ended: tuple[float, float, Any] | None = None
    every_s: float = field(default=0.5)

    def read(self, elapsed_s: float, seconds: float) -> None:
        """Read if it is time to; `elapsed_s` is the fleet's clock."""
        if self.began is None and elapsed_s >= WARM_S:
            self.began = self._now()
        elif self.ended is None and elapsed_s >= seconds:
            self.ended = self._now()

    def _now(self) -> tuple[float, float, Any]:
        return time.perf_counter(), self.stream.cpu_seconds(), psutil.cpu_times()

    @property
    def cores(self) -> float:
        """Cores the stream kept busy."""
        if self.began is None or self.ended is None:
            return float("nan")
        return (self.ended[1] - self.began[1]) / (self.ended[0] - self.began[0])

    @property
    def idle_share(self) -> float:
        """Share of the machine that had nothing to do."""
        if self.began is None or self.ended is None:
            return float("nan")
        before, after = self.began[2], self.ended[2]
        spent = {name: getattr(after, name) - getattr(before, name) for name in before._fields if name[:5] != "guest"}
        return float((spent["idle"] + spent["iowait"]) / sum(spent.values()))


def percentile_ms(runs: Sequence[Run], percent: float) -> float:
    """Return a percentile of the runs' latencies together, in milliseconds."""
    return float(np.percentile(np.concatenate([run.latency_s for run in runs]), percent) * 1_000)
