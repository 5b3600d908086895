"""Run a command beside real servers: Apache Kafka, an S3 server, a second MongoDB-protocol server, Debian's binaries.

    python .ci/real_tier.py -- python -m pytest -m contract wearables_platform_tests

PostgreSQL, Redis and mosquitto are found on PATH by the same code that serves `wearables up`
(`WEARABLES_PREFER_EMBEDDED=0`). Everything started here ends with this process.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from wearables_platform.local import probes, running
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.spec import ServerSpec, tethered

HERE = Path(__file__).resolve().parent
INTERRUPTED_S = 60.0


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
        url=f"mongodb://{LOOPBACK}:{port}/wearables_test",
        probe=probes.mongo,
    )


def describe_all(scratch: Path, access: str, secret: str) -> Iterator[tuple[str, ServerSpec]]:
    """Yield each server with the name its URL is passed on under."""
    cache = fetched()
    directories = {name: scratch / name for name in ("kafka", "s3", "mongo")}
    for directory in directories.values():
        directory.mkdir()
    yield "KAFKA", kafka(directories["kafka"], cache)
    yield "S3", versitygw(directories["s3"], cache, access, secret)
    yield "MONGO", secantusdb(directories["mongo"])


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the command to its end; asked to stop, interrupt it, so that tests end what they started."""
    with subprocess.Popen(command, env=environment) as child:
        try:
            return child.wait()
        except BaseException:
            child.send_signal(signal.SIGINT)
            child.wait(INTERRUPTED_S)
            raise


def main(command: Sequence[str]) -> int:
    """Start the servers, run the command with their URLs, end the servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    access, secret = "wearables-ci", secrets.token_urlsafe(24)
    environment = {**os.environ, "WEARABLES_PREFER_EMBEDDED": "0"}
    environment |= {"WEARABLES_TEST_S3_ACCESS_KEY": access, "WEARABLES_TEST_S3_SECRET_KEY": secret}
    with ExitStack() as stack:
        # Entered first, so emptied last, when no server writes into it any more.
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="wearables-ci-", ignore_cleanup_errors=True)))
        for name, spec in describe_all(scratch, access, secret):
            stack.callback(running.start(spec, scratch / "logs").stop)
            environment[f"WEARABLES_TEST_{name}_URL"] = spec.url
            print(f"real tier: {spec.name} is {spec.server} {spec.version}", flush=True)  # noqa: T201
        return run(tethered(tuple(command)), environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :]))
