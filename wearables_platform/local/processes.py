"""The platform's own processes: what each runs, how it is known to be well, and what it needs first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wearables_platform.errors import ConfigError
from wearables_platform.local import probes
from wearables_platform.local.dagster_store import URL_VARIABLE
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.probes import Address

# `wearables run NAME` calls this function with the settings; imported only then.
ENTRY_POINTS: Mapping[str, str] = {
    "bridge": "wearables_platform.bridge.process:run",
    "ingest": "wearables_platform.ingest.process:run",
    "archive": "wearables_platform.archive.process:run",
    "stream": "stream.process:run",
    "api": "wearables_platform.api.process:run",
    "webhooks": "wearables_platform.webhooks.process:run",
}

HEALTH_PATH = "/health/ready"

# Which setting holds the port on which a process answers for its health.
HEALTH_PORT: Mapping[str, str] = {
    "bridge": "bridge_health_port",
    "ingest": "ingest_port",
    "archive": "archive_health_port",
    "stream": "stream_health_port",
    "api": "api_port",
    "webhooks": "webhooks_health_port",
    "dagster-webserver": "dagster_port",
}

STANDBY = "stream-standby"

NEEDS: Mapping[str, tuple[str, ...]] = {
    "bridge": ("kafka", "mqtt", "postgres"),
    "ingest": ("kafka", "postgres"),
    "archive": ("kafka", "mongo", "postgres"),
    "stream": ("kafka", "redis", "postgres"),
    "api": ("postgres", "redis"),
    "webhooks": ("kafka", "postgres"),
    "dagster-code": ("postgres", "mongo", "kafka"),
    "dagster-webserver": ("dagster-code",),
    "dagster-daemon": ("dagster-code",),
    "live-fleet": ("bridge", "archive", "stream"),
    STANDBY: ("stream",),
}


@dataclass(frozen=True)
class ProcessSpec:
    """One process of the platform."""

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...]
    address: Address
    probe: Callable[[Address], bool] = probes.tcp
    env: Mapping[str, str] = field(default_factory=dict)

    def ready(self) -> bool:
        """Tell whether it does its work now."""
        return self.probe(self.address)


def process_specs(run: RunDirectory, host: str, ports: Mapping[str, int], dagster_sql_url: str) -> list[ProcessSpec]:
    """Describe every process; ``ports`` maps a port setting to the port chosen for it."""
    own = [_own_process(name, (host, ports[HEALTH_PORT[name]])) for name in ENTRY_POINTS]
    return [*own, *_dagster_processes(run, host, ports, dagster_sql_url)]


def live_fleet(host: str, ports: Mapping[str, int]) -> ProcessSpec:
    """Describe a few simulated watches in real time; well as long as the bridge takes what they send."""
    argv = (sys.executable, "-m", "wearables_platform.demo.live")
    bridge = (host, ports[HEALTH_PORT["bridge"]])
    return ProcessSpec("live-fleet", argv, NEEDS["live-fleet"], bridge, probes.http(HEALTH_PATH))


def stream_standby(host: str, ports: Mapping[str, int]) -> ProcessSpec:
    """Describe a second stream: it waits until the one that works ends, and then answers for health in its place."""
    return replace(_own_process("stream", (host, ports[HEALTH_PORT["stream"]])), name=STANDBY, needs=NEEDS[STANDBY])


def bridge_of(number: int, mqtt_url: str, address: Address) -> ProcessSpec:
    """Describe the bridge of one of several brokers."""
    environment = {"WEARABLES_MQTT_URL": mqtt_url, "WEARABLES_BRIDGE_HEALTH_PORT": str(address[1])}
    return replace(_own_process("bridge", address), name=_numbered("bridge", number), env=environment)


def further_ingest(number: int, address: Address) -> ProcessSpec:
    """Describe one more ingest."""
    environment = {"WEARABLES_INGEST_PORT": str(address[1])}
    return replace(_own_process("ingest", address), name=_numbered("ingest", number), env=environment)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _own_process(name: str, address: Address) -> ProcessSpec:
    argv = (sys.executable, "-m", "wearables_platform.cli", "run", name)
    return ProcessSpec(name, argv, NEEDS[name], address, probes.http(HEALTH_PATH))


def _dagster_processes(
    run: RunDirectory, host: str, ports: Mapping[str, int], dagster_sql_url: str
) -> list[ProcessSpec]:
    """One code server for both Dagster processes: the definitions are imported once, and runs outlive either."""
    workspace = str(run.dagster_home / "workspace.yaml")
    home = {"DAGSTER_HOME": str(run.dagster_home.resolve()), URL_VARIABLE: dagster_sql_url}
    code, web = (host, ports["dagster_code_port"]), (host, ports["dagster_port"])
    json_lines = ("--log-format", "json")
    code_argv = ("api", "grpc", *json_lines, "-m", "wearables_platform.definitions", "-h", host, "-p", str(code[1]))
    web_argv = ("-m", "dagster_webserver", *json_lines, "-h", host, "-p", str(web[1]), "-w", workspace)
    daemon_argv = ("-m", "dagster._daemon", "run", *json_lines, "-w", workspace)
    return [
        ProcessSpec(
            "dagster-code",
            (sys.executable, "-m", "dagster", *code_argv),
            NEEDS["dagster-code"],
            code,
            env=home,
        ),
        ProcessSpec(
            "dagster-webserver",
            (sys.executable, *web_argv),
            NEEDS["dagster-webserver"],
            web,
            probes.http("/server_info"),
            env=home,
        ),
        ProcessSpec(
            "dagster-daemon",
            (sys.executable, *daemon_argv),
            NEEDS["dagster-daemon"],
            web,  # the daemon listens nowhere; the web server reads its heartbeats
            probes.dagster_daemon,
            env=home,
        ),
    ]


def with_replacements(specs: Sequence[ProcessSpec], modules: Mapping[str, str]) -> list[ProcessSpec]:
    """Run another module in a process's place: how faults are planted without a branch in production code."""
    unknown = sorted(modules.keys() - {spec.name for spec in specs})
    if unknown:
        msg = f"no process called {', '.join(unknown)} to replace"
        raise ConfigError(msg)
    return [
        replace(spec, argv=(sys.executable, "-m", modules[spec.name])) if spec.name in modules else spec
        for spec in specs
    ]
