"""Two brokers with a bridge each and two ingests behind HAProxy, as real processes: for the tests of its faults."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from wearables_platform.edge.fleet import Fleet
from wearables_platform.local import running
from wearables_platform.local.haproxy_server import Balancer, balancer
from wearables_platform.local.mqtt_credentials import MqttCredentials
from wearables_platform.local.mqtt_server import mqtt_spec
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.running import RunningServer
from wearables_platform.local.servers import new_password
from wearables_platform.local.spec import ServerSpec
from wearables_platform_tests import ingest_rig
from wearables_platform_tests.bridge_rig import BridgeRig, Stored, eventually, read_topic

FIGURES = Path(__file__).resolve().parents[1] / "build" / "balancer.json"
NUMBERS = (1, 2)


@dataclass
class Restartable:
    """A server a test ends and starts again at the same address."""

    spec: ServerSpec
    logs: Path
    server: RunningServer

    def start(self) -> None:
        self.server = running.start(self.spec, self.logs)

    def kill(self) -> None:
        self.server.kill()


@dataclass
class BalancerRig:
    """Everything between the devices and Kafka."""

    balancer: Balancer
    haproxy: Restartable
    brokers: list[Restartable]
    bridges: list[BridgeRig]
    ingest_ports: list[int]
    ingests: ingest_rig.IngestRig
    directory: Path
    _posted_to: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def mqtt_url(self) -> str:
        return "mqtt://{}:{}".format(*self.balancer.mqtt)

    @property
    def ingest_url(self) -> str:
        return "http://{}:{}".format(*self.balancer.ingest)

    def fleet(self) -> Fleet:
        return Fleet(self.mqtt_url, self.directory / "spool.sqlite")

    def ingest(self, number: int) -> subprocess.Popen[bytes]:
        return self._posted_to[number]

    def start_ingest(self, number: int) -> None:
        port = self.ingest_ports[number - 1]
        log, run = self.directory / f"ingest-{number}.log", str(self.directory / "run")
        self._posted_to[number] = ingest_rig.start(self.ingests, log, port, WEARABLES_RUN_DIR=run)

    def stop(self) -> None:
        for bridge in self.bridges:
            bridge.kill()
        for child in self._posted_to.values():
            child.kill()
            child.wait()
        for server in (self.haproxy, *self.brokers):
            server.kill()

    def is_up(self, server: str) -> bool:
        return self.balancer.states()[server] == "UP"

    def wait_up(self) -> None:
        names = [f"{backend}_{number}" for backend in ("mqtt", "ingest") for number in NUMBERS]
        eventually(lambda: all(self.is_up(name) for name in names), f"not all are up: {self.balancer.states()}")


@contextmanager
def balancer_rig(kafka_url: str, sql_url: str, directory: Path) -> Iterator[BalancerRig]:
    """Start all of it, and end all of it."""
    password = new_password()
    specs = [
        replace(mqtt_spec(port, directory / "mqtt", password, broker=f"mosquitto-{number}"), name=f"mqtt-{number}")
        for number, port in zip(NUMBERS, free_ports(2), strict=True)
    ]
    ingest_ports = free_ports(2)
    balanced = balancer(directory, [spec.address for spec in specs], [(LOOPBACK, port) for port in ingest_ports])
    logs = directory / "logs"
    with ExitStack() as stack:
        ingests = stack.enter_context(ingest_rig.rig(kafka_url, sql_url))
        brokers = [Restartable(spec, logs, running.start(spec, logs)) for spec in specs]
        haproxy = Restartable(balanced.spec, logs, running.start(balanced.spec, logs))
        credentials = MqttCredentials(directory / "mqtt")
        bridges = [
            BridgeRig(kafka_url, spec.url, sql_url, credentials, directory / f"bridge-{number}")
            for number, spec in zip(NUMBERS, specs, strict=True)
        ]
        rig = BalancerRig(balanced, haproxy, brokers, bridges, ingest_ports, ingests, directory)
        stack.callback(rig.stop)
        for number, bridge in zip(NUMBERS, bridges, strict=True):
            bridge.directory.mkdir()
            bridge.environment["WEARABLES_TOPIC_PARTITIONS"] = str(ingests.partitions)
            bridge.start(wait=False)
            rig.start_ingest(number)
        for bridge in bridges:
            bridge.wait_ready()
        rig.wait_up()
        yield rig


@dataclass(frozen=True)
class Step:
    """One thing done to the servers, as soon as a condition holds."""

    title: str
    when: Callable[[], bool]
    act: Callable[[], object]


@dataclass
class Sessions:
    """Which devices lost their session after which step, and when they had one again; watched from outside."""

    fleet: Fleet
    step: str = "start"
    lost_s: dict[str, float] = field(default_factory=dict)
    waits_s: dict[str, list[float]] = field(default_factory=dict)

    def look(self) -> None:
        now_s = time.monotonic()
        for device_id, transport in self.fleet.transports.items():
            if not transport.ready:
                self.lost_s.setdefault(device_id, now_s)
            elif device_id in self.lost_s:
                self.waits_s.setdefault(self.step, []).append(now_s - self.lost_s.pop(device_id))


def after_s(seconds: float) -> Callable[[], bool]:
    """Hold from so long after it was first asked."""
    began: list[float] = []

    def holds() -> bool:
        began.append(time.monotonic())
        return began[-1] - began[0] >= seconds

    return holds


def records_by_device(kafka_url: str, topic: str, device_ids: Iterable[str]) -> dict[str, list[Stored]]:
    """Read a topic once, and return each device's records in log order."""
    found: dict[str, list[Stored]] = {device_id: [] for device_id in device_ids}
    for record in read_topic(kafka_url, topic):
        found.get(record.key.decode(), []).append(record)
    return found


def first_copies(records: Sequence[Stored], topic: str) -> list[int]:
    """Return the sequences of one device's records in log order, each where it first appears."""
    return list(dict.fromkeys(record.identity(topic).sequence for record in records))


def record_figures(name: str, figures: dict[str, object]) -> None:
    """Keep what a run measured: in `build/balancer.json`, and in the log of the run."""
    FIGURES.parent.mkdir(exist_ok=True)
    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps({**kept, name: figures}, indent=1) + os.linesep)
    print(name, json.dumps(figures))  # noqa: T201


def spread_s(waits_s: Sequence[float]) -> dict[str, float]:
    """Summarise waits, in seconds."""
    if not waits_s:
        return {"devices": 0}
    return {
        "devices": len(waits_s),
        "median_s": round(statistics.median(waits_s), 2),
        "longest_s": round(max(waits_s), 2),
    }
