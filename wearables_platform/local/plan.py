"""What one ``wearables up`` will run: servers, processes, ports, and the settings that lead the processes to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from wearables_platform.errors import ConfigError
from wearables_platform.local.choice import CHOSEN_BY_URL
from wearables_platform.local.dagster_store import INSTANCE_FILE, own_role_url, own_schema_url, with_driver
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.ports import choose_ports
from wearables_platform.local.processes import (
    HEALTH_PORT,
    ProcessSpec,
    bridge_of,
    further_ingest,
    live_fleet,
    process_specs,
    stream_standby,
    with_replacements,
)
from wearables_platform.local.secrets_store import instance_secrets
from wearables_platform.local.servers import SERVER_NAMES, URL_SETTING, Place, server_spec
from wearables_platform.local.spec import ServerSpec
from wearables_platform.sensor_catalogue import sensor_types
from wearables_platform.settings import Settings

SERVER_PORT: Mapping[str, str] = {
    "kafka": "kafka_port",
    "mqtt": "mqtt_port",
    "postgres": "sql_port",
    "mongo": "mongo_port",
    "redis": "redis_port",
}

GENERATED_SETTINGS = ("api_token", "model_signing_key")
DAGSTER = "dagster"
DAGSTER_CODE_PORT = "dagster_code_port"

DAGSTER_WORKSPACE = """\
load_from:
  - grpc_server:
      host: {host}
      port: {port}
      location_name: wearables_platform
"""


@dataclass(frozen=True)
class UpOptions:
    """What whoever starts an instance may ask for."""

    servers_only: bool = False
    fresh: bool = False
    live: bool = False  # with a few simulated watches in real time
    replaced: Mapping[str, str] = field(default_factory=dict)  # process to the module run in its place


@dataclass(frozen=True)
class Plan:
    """Everything decided before anything starts."""

    servers: tuple[ServerSpec, ...]
    given: tuple[str, ...]  # servers the settings name by URL
    processes: tuple[ProcessSpec, ...]
    runtime: Mapping[str, str]  # setting to value, secrets included

    @property
    def kafka_in_memory(self) -> bool:
        """Tell whether the log ends with this instance."""
        return any(server.server == "tansu" for server in self.servers)

    def describe(self) -> list[dict[str, str]]:
        """Name every server with where it came from; holds no secret."""
        embedded = [
            {"name": one.name, "server": one.server, "version": one.version, "chosen": one.chosen}
            for one in self.servers
        ]
        return embedded + [
            {"name": name, "server": "given", "version": "", "chosen": CHOSEN_BY_URL} for name in self.given
        ]


def make_plan(settings: Settings, run: RunDirectory, options: UpOptions) -> Plan:
    """Decide what to start; initialises the servers' files, starts nothing."""
    sensor_types(settings.sensor_types_dir)  # a mistake in a file is said before anything starts
    given = tuple(name for name in SERVER_NAMES if getattr(settings, URL_SETTING[name]) is not None)
    embedded = tuple(name for name in SERVER_NAMES if name not in given)
    ports = _choose_ports(settings, embedded)
    secrets = instance_secrets(run, (*SERVER_NAMES, DAGSTER, *GENERATED_SETTINGS))
    servers = tuple(
        server_spec(
            name,
            Place(run.data.resolve(), ports[SERVER_PORT[name]], secrets[name], settings.prefer_embedded),
        )
        for name in embedded
    )
    runtime = _runtime_settings(settings, run, servers, ports, secrets)
    store_url = runtime["dagster_sql_url"]
    processes = [] if options.servers_only else process_specs(run, settings.bind_host, ports, store_url)
    if processes:
        processes = _several(processes, runtime["mqtt_url"].split(","), ports, settings)
    processes = with_replacements(processes, options.replaced)
    if settings.stream_standby and processes:
        processes.append(stream_standby(settings.bind_host, ports))
    if options.live and processes:
        processes.append(live_fleet(settings.bind_host, ports))
    return Plan(servers, given, tuple(processes), runtime)


def _several(
    specs: list[ProcessSpec], mqtt_urls: list[str], ports: Mapping[str, int], settings: Settings
) -> list[ProcessSpec]:
    """Give each broker a bridge of its own, and add the further ingests."""
    host = settings.bind_host
    places = [HEALTH_PORT["bridge"], *_more_bridges(settings)]
    bridges = [
        bridge_of(number, url, (host, ports[place]))
        for number, (url, place) in enumerate(zip(mqtt_urls, places, strict=True), 1)
    ]
    ingests = [further_ingest(number, (host, ports[key])) for number, key in enumerate(_more_ingests(settings), 2)]
    return [*bridges, *ingests, *(spec for spec in specs if spec.name != "bridge")]


def _more_bridges(settings: Settings) -> list[str]:
    count = settings.require("mqtt_url").count(",") if settings.mqtt_url else 0
    return [f"bridge_health_port[{number}]" for number in range(2, count + 2)]


def _more_ingests(settings: Settings) -> dict[str, int]:
    texts = settings.more_ingest_ports.split(",") if settings.more_ingest_ports else []
    if not all(text.strip().isdecimal() for text in texts):
        msg = f"WEARABLES_MORE_INGEST_PORTS must be ports, comma-separated, not {settings.more_ingest_ports!r}"
        raise ConfigError(msg)
    return {f"more_ingest_ports[{number}]": int(text) for number, text in enumerate(texts, 1)}


def _choose_ports(settings: Settings, embedded: tuple[str, ...]) -> dict[str, int]:
    port_settings = [*(SERVER_PORT[name] for name in embedded), *HEALTH_PORT.values()]
    wanted: dict[str, int | None] = {key: getattr(settings, key) for key in port_settings}
    wanted |= dict.fromkeys((DAGSTER_CODE_PORT, *_more_bridges(settings)))
    return choose_ports({**wanted, **_more_ingests(settings)}, settings.bind_host)


def _runtime_settings(
    settings: Settings,
    run: RunDirectory,
    servers: tuple[ServerSpec, ...],
    ports: Mapping[str, int],
    secrets: Mapping[str, str],
) -> dict[str, str]:
    """Return what other commands need to find this instance; what the environment sets is written down too."""
    found = {URL_SETTING[server.name]: server.url for server in servers}
    found |= {key: str(port) for key, port in ports.items() if key in Settings.model_fields}
    found |= {key: secrets[key] for key in GENERATED_SETTINGS}
    found["lake_url"] = run.lake.resolve().as_uri()
    if settings.mqtt_url is not None:
        parts = urlsplit(settings.mqtt_url.get_secret_value().split(",")[0])
        tls = parts.scheme == "mqtts"
        found |= {"mqtt_host": parts.hostname or "", "mqtt_port": str(parts.port or (8883 if tls else 1883))}
        found["mqtt_tls"] = str(tls)
    found |= set_explicitly(settings)
    if "dagster_sql_url" in found:
        found["dagster_sql_url"] = with_driver(found["dagster_sql_url"])
    else:
        embedded = any(server.name == "postgres" for server in servers)
        sql_url = found["sql_url"]
        found["dagster_sql_url"] = own_role_url(sql_url, secrets[DAGSTER]) if embedded else own_schema_url(sql_url)
    return found


def set_explicitly(settings: Settings) -> dict[str, str]:
    """Return the settings whoever ran ``up`` gave, so that a command in another shell sees the same instance."""
    chosen: dict[str, str] = {}
    for key in settings.model_fields_set - {"run_dir"}:
        value = getattr(settings, key)
        if value is not None:
            chosen[key] = value.get_secret_value() if isinstance(value, SecretStr) else _text(value)
    return chosen


def _text(value: object) -> str:
    return str(value.absolute() if isinstance(value, Path) else value)


def render_runtime_file(runtime: Mapping[str, str]) -> str:
    """Return the runtime file's text; JSON quoting is what dotenv reads back unchanged."""
    return "".join(f"WEARABLES_{key.upper()}={json.dumps(value)}\n" for key, value in sorted(runtime.items()))


def dagster_files(home: Path, host: str, code_port: int) -> dict[Path, str]:
    """Return Dagster's instance and workspace files, by path."""
    return {
        home / "dagster.yaml": INSTANCE_FILE.read_text(),
        home / "workspace.yaml": DAGSTER_WORKSPACE.format(host=host, port=code_port),
    }
