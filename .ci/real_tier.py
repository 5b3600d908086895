"""Run a command beside real servers: Apache Kafka, an S3 server, a second MongoDB-protocol server, Debian's binaries.

    python .ci/real_tier.py -- python -m pytest -m contract wearables_platform_tests

PostgreSQL, Redis and mosquitto are found on PATH by the same code that serves `wearables up`
(`WEARABLES_PREFER_EMBEDDED=0`). Everything started here ends with this process.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wearables_platform.local import probes, running
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.spec import ServerSpec

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wearables-ci"
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"


def kafka_jars() -> Path:
    """Fetch Apache Kafka's jars once."""
    jars = CACHE / "kafka-4.3.1"
    if not (jars / "complete").exists():
        command = ["mvn", "-q", "-B", "-f", str(HERE / "kafka/pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*command, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"], check=True)
        (jars / "complete").touch()
    return jars


def kafka(directory: Path) -> ServerSpec:
    """Describe one KRaft broker that is its own controller."""
    port, controller = free_ports(2)
    classpath = f"{kafka_jars()}/*"
    properties = directory / "server.properties"
    properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{LOOPBACK}:{controller}
listeners=PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}
advertised.listeners=PLAINTEXT://{LOOPBACK}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={directory}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
""")
    storage = ["java", "-cp", classpath, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ"]
    subprocess.run([*storage, "-c", str(properties)], check=True, stdout=subprocess.DEVNULL)
    heap = ("-Xmx512m", "-Xms256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    return ServerSpec(
        name="kafka",
        server="apache-kafka",
        version="4.3.1",
        chosen="Maven",
        argv=("java", *heap, "-cp", classpath, "kafka.Kafka", str(properties)),
        address=(LOOPBACK, port),
        url=f"kafka://{LOOPBACK}:{port}",
        probe=probes.kafka,
    )


def versitygw(directory: Path, access: str, secret: str) -> ServerSpec:
    """Describe an S3 server on a directory, with signatures, multipart and conditional writes."""
    binary = CACHE / "bin" / "versitygw"
    if not binary.exists():
        subprocess.run(["go", "install", VERSITYGW], check=True, env={**os.environ, "GOBIN": str(binary.parent)})
    (port,) = free_ports(1)
    root = directory / "objects"
    root.mkdir()
    return ServerSpec(
        name="s3",
        server="versitygw",
        version="1.8.0",
        chosen="go install",
        argv=(str(binary), "--port", f"{LOOPBACK}:{port}", "posix", str(root)),
        address=(LOOPBACK, port),
        url=f"http://{LOOPBACK}:{port}",
        probe=probes.tcp,
        env={"ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret},
    )


def secantusdb(directory: Path) -> ServerSpec:
    """Describe the richer of the two MongoDB-protocol wheels; a separate process, never imported."""
    (port,) = free_ports(1)
    binary = shutil.which("secantusd-py", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if binary is None:
        msg = "secantusd-py is not installed: pip install --require-hashes -r requirements/ci.txt"
        raise SystemExit(msg)
    arguments = ("--host", LOOPBACK, "--port", str(port), "--storage-path", str(directory / "data"), "--sync-on-commit")
    return ServerSpec(
        name="mongo",
        server="secantusdb",
        version="0.7.0b3",
        chosen="wheel",
        argv=(binary, *arguments),
        address=(LOOPBACK, port),
        url=f"mongodb://{LOOPBACK}:{port}/wearables_test",
        probe=probes.mongo,
    )


def main(command: Sequence[str]) -> int:
    """Start the servers, run the command with their URLs, end the servers."""
    servers: list[running.RunningServer] = []
    access, secret = "wearables-ci", secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="wearables-ci-", ignore_cleanup_errors=True) as scratch:
        try:
            urls = {}
            for name, describe in {
                "KAFKA": kafka,
                "S3": lambda place: versitygw(place, access, secret),
                "MONGO": secantusdb,
            }.items():
                directory = Path(scratch) / name.lower()
                directory.mkdir()
                server = running.start(describe(directory), Path(scratch) / "logs")
                servers.append(server)
                urls[f"WEARABLES_TEST_{name}_URL"] = server.url
                print(f"real tier: {server.spec.name} is {server.spec.server} {server.spec.version}", flush=True)  # noqa: T201
            keys = {"WEARABLES_TEST_S3_ACCESS_KEY": access, "WEARABLES_TEST_S3_SECRET_KEY": secret}
            environment = {**os.environ, **urls, **keys, "WEARABLES_PREFER_EMBEDDED": "0"}
            return subprocess.run(command, check=False, env=environment).returncode
        finally:
            for server in reversed(servers):
                server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
