"""HAProxy in front of several brokers and ingests, as `deploy/haproxy/haproxy.cfg` says, and its runtime API."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import wearables_platform
from wearables_platform.local import binaries, probes
from wearables_platform.local.choice import CHOSEN_BY_PATH
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.ports import LOOPBACK, free_ports
from wearables_platform.local.probes import Address
from wearables_platform.local.spec import ServerSpec

CONFIGURATION: Final = Path(wearables_platform.__file__).parent / "deploy" / "haproxy" / "haproxy.cfg"
ANSWER_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Balancer:
    """Where a balancer listens; the same on every start of it."""

    mqtt: Address
    ingest: Address
    operators: Address
    admin_socket: Path
    spec: ServerSpec

    def command(self, text: str) -> str:
        """Tell the runtime API something; returns its answer, empty where it has nothing to say."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(str(self.admin_socket))
            connection.sendall(text.encode() + b"\n")
            answer = b""
            while part := connection.recv(65_536):
                answer += part
        return answer.decode().strip()

    def drain(self, backend: str, number: int) -> None:
        """Give a server no new connection, and end those it has: their devices go to the others."""
        server = f"{backend}/{backend}_{number}"
        self.command(f"set server {server} state drain")
        self.command(f"shutdown sessions server {server}")

    def ready(self, backend: str, number: int) -> None:
        """Give a drained server connections again."""
        self.command(f"set server {backend}/{backend}_{number} state ready")

    def states(self) -> dict[str, str]:
        """Return the state of each server (UP, DOWN, DRAIN ...) by its name."""
        rows = [line.split(",") for line in self.command("show stat -1 4 -1").lstrip("# ").splitlines()]
        name, status = rows[0].index("svname"), rows[0].index("status")
        return {row[name]: row[status].partition(" ")[0] for row in rows[1:] if len(row) > status}


def balancer(directory: Path, brokers: Sequence[Address], ingests: Sequence[Address]) -> Balancer:
    """Describe an HAProxy on free ports in front of two brokers and two ingests; nothing starts."""
    binary = binaries.on_path("haproxy")
    if binary is None:
        msg = "no haproxy on PATH: install it (Debian's package is haproxy)"
        raise StartError(msg, ExitCode.MISSING_SERVER)
    mqtt, ingest, operators = ((LOOPBACK, port) for port in free_ports(3))
    admin_socket = directory / "admin.sock"
    addresses = {"MQTT_BIND": mqtt, "INGEST_BIND": ingest, "STATS_BIND": operators}
    for name, servers in (("MQTT", brokers), ("INGEST", ingests)):
        addresses |= {f"{name}_{number}": address for number, address in enumerate(servers, 1)}
    environment = {name: f"{host}:{port}" for name, (host, port) in addresses.items()}
    spec = ServerSpec(
        name="haproxy",
        server="haproxy",
        version=binaries.binary_version(str(binary), "-v"),
        chosen=CHOSEN_BY_PATH,
        argv=(str(binary), "-f", str(CONFIGURATION)),
        address=operators,
        url=f"http://{operators[0]}:{operators[1]}",
        probe=probes.http("/healthz"),
        env={**environment, "ADMIN_SOCKET": str(admin_socket)},
    )
    return Balancer(mqtt, ingest, operators, admin_socket, spec)
