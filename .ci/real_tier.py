"""Run a command beside real servers: Apache Kafka, an S3 server, a second MongoDB-protocol server, Debian's binaries.

    python .ci/real_tier.py -- python -m pytest -m contract wearables_platform_tests
    python .ci/real_tier.py --platform -- wearables up

Tests find PostgreSQL, Redis and mosquitto on PATH by the same code that serves `wearables up`
(`WEARABLES_PREFER_EMBEDDED=0`). With `--platform` these run here too, mosquitto twice, behind HAProxy, and the command
is told of everything by the platform's own settings. Every start is a new one, and everything ends with this process.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from real_servers import fetched, kafka, secantusdb, versitygw

from wearables_platform.local import running
from wearables_platform.local.haproxy_server import balancer
from wearables_platform.local.mqtt_server import mqtt_spec
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.servers import Place, new_password, server_spec
from wearables_platform.local.spec import ServerSpec, tethered

INTERRUPTED_S = 60.0
ACCESS_KEY = "wearables-ci"
BUCKET = "wearables"
BROKERS = ("mosquitto-1", "mosquitto-2")


@dataclass(frozen=True)
class Described:
    """Servers to start, in order, and what the command is told of them."""

    servers: tuple[ServerSpec, ...]
    environment: Mapping[str, str]


def for_tests(scratch: Path, cache: Path) -> Described:
    """Describe what the tests do not start themselves."""
    secret = secrets.token_urlsafe(24)
    servers = tuple(own_servers(scratch, cache, secret))
    urls = {f"WEARABLES_TEST_{server.name.upper()}_URL": server.url for server in servers}
    keys = {"WEARABLES_TEST_S3_ACCESS_KEY": ACCESS_KEY, "WEARABLES_TEST_S3_SECRET_KEY": secret}
    return Described(servers, {**urls, **keys})


def for_platform(scratch: Path, cache: Path) -> Described:
    """Describe everything the platform runs on, two brokers and a load balancer for two ingests among it."""
    secret, bridge_password, ingest_ports = secrets.token_urlsafe(24), new_password(), free_ports(2)
    log, objects, documents = own_servers(scratch, cache, secret)
    (scratch / "s3" / "objects" / BUCKET).mkdir()
    brokers = [
        replace(mqtt_spec(port, scratch / "mqtt", bridge_password, broker=name), name=name)
        for name, port in zip(BROKERS, free_ports(len(BROKERS)), strict=True)
    ]
    stores = [server_spec(name, Place(scratch, free_ports(1)[0], new_password())) for name in ("postgres", "redis")]
    balanced = balancer(scratch, [each.address for each in brokers], [(LOOPBACK, port) for port in ingest_ports])
    settings = {
        "KAFKA_URL": log.url,
        "MQTT_URL": ",".join(each.url for each in brokers),
        "MQTT_HOST": balanced.mqtt[0],
        "MQTT_PORT": str(balanced.mqtt[1]),
        "MQTT_CREDENTIALS_DIR": str(scratch / "mqtt"),
        "SQL_URL": stores[0].url,
        "REDIS_URL": stores[1].url,
        "MONGO_URL": documents.url,
        "LAKE_URL": f"s3://{BUCKET}/lake?endpoint_url={objects.url}",
        "LAKE_ACCESS_KEY": ACCESS_KEY,
        "LAKE_SECRET_KEY": secret,
        "INGEST_PORT": str(ingest_ports[0]),
        "MORE_INGEST_PORTS": str(ingest_ports[1]),
        "INGEST_URL": f"http://{balanced.ingest[0]}:{balanced.ingest[1]}",
    }
    servers = (log, objects, documents, *brokers, *stores, balanced.spec)
    return Described(servers, {f"WEARABLES_{name}": value for name, value in settings.items()})


def own_servers(scratch: Path, cache: Path, secret: str) -> Iterator[ServerSpec]:
    """Describe Kafka, the object store and the document store."""
    directories = [scratch / name for name in ("kafka", "s3", "mongo")]
    for directory in directories:
        directory.mkdir()
    yield kafka(directories[0], cache)
    yield versitygw(directories[1], cache, ACCESS_KEY, secret)
    yield secantusdb(directories[2])


def prefer_debians_postgres() -> None:
    """Put PostgreSQL's own directory on PATH, where Debian leaves it out."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        os.environ["PATH"] = f"{found[-1]}:{os.environ['PATH']}"


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end; asked to stop, interrupt it, so that tests end what they started."""
    with subprocess.Popen(command, env=environment) as child:
        try:
            return child.wait()
        except BaseException:
            child.send_signal(signal.SIGINT)
            child.wait(INTERRUPTED_S)
            raise


def main(options: Sequence[str], command: Sequence[str]) -> int:
    """Start the servers, run the command with their URLs, end the servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    prefer_debians_postgres()
    describe = for_platform if "--platform" in options else for_tests
    with ExitStack() as stack:
        # Entered first, so emptied last, when no server writes into it any more.
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="wearables-ci-", ignore_cleanup_errors=True)))
        scratch.chmod(0o711)  # PostgreSQL does not run as root: who it runs as must be able to pass
        described = describe(scratch, fetched())
        for spec in described.servers:
            stack.callback(running.start(spec, scratch / "logs").stop)
            print(f"real tier: {spec.name} is {spec.server} {spec.version}", flush=True)  # noqa: T201
        environment = {**os.environ, "WEARABLES_PREFER_EMBEDDED": "0", **described.environment}
        return run(tethered(tuple(command)), environment)


if __name__ == "__main__":
    at = sys.argv.index("--")
    sys.exit(main(sys.argv[1:at], sys.argv[at + 1 :]))
