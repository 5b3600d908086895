"""The servers that no package of the platform starts: Apache Kafka, an S3 server, a second MongoDB-protocol server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from wearables_platform.local import probes
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.spec import ServerSpec

HERE = Path(__file__).resolve().parent


def fetched() -> Path:
    """Return the directory with Apache Kafka's jars and the S3 server, fetched once."""
    printed = subprocess.run([str(HERE / "fetch_servers")], check=True, stdout=subprocess.PIPE, text=True).stdout
    return Path(printed.strip())


def kafka(directory: Path, cache: Path) -> ServerSpec:
    """Describe one KRaft broker that is its own controller."""
    port, controller = free_ports(2)
    classpath = f"{cache}/kafka-4.3.1/*"
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


def versitygw(directory: Path, cache: Path, access: str, secret: str) -> ServerSpec:
    """Describe an S3 server on a directory, with signatures, multipart and conditional writes."""
    (port,) = free_ports(1)
    root = directory / "objects"
    root.mkdir()
    return ServerSpec(
        name="s3",
        server="versitygw",
        version="1.8.0",
        chosen="go install",
        argv=(f"{cache}/bin/versitygw-1.8.0", "--port", f"{LOOPBACK}:{port}", "posix", str(root)),
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
        url=f"mongodb://{LOOPBACK}:{port}/wearables",
        probe=probes.mongo,
    )
