"""The embedded MQTT broker: ``mosquitto`` from PATH, else ``amqtt`` from its wheel; the same credentials either way."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from wearables_platform.local import probes
from wearables_platform.local.choice import choose
from wearables_platform.local.files import write_atomically
from wearables_platform.local.mqtt_credentials import BRIDGE_USER, MqttCredentials
from wearables_platform.local.ports import LOOPBACK
from wearables_platform.local.spec import ServerSpec

BROKER_MODULE = "wearables_platform.local.mqtt_broker"

# max_queued_messages 0 is "no bound": a bridge that is away must find everything (bounded by the devices' spools).
# retain_available false disconnects who publishes retained messages.
CONFIGURATION = """\
listener {port} {host}
user {user}
allow_anonymous false
password_file {passwords}
acl_file {access}
pid_file {pid_file}
persistence true
persistence_location {directory}/
persistence_file {broker}.db
autosave_interval 1
max_queued_messages 0
max_inflight_messages 1000
retain_available false
log_dest stderr
"""


def mqtt_spec(
    port: int, directory: Path, bridge_password: str, *, prefer_embedded: bool = False, broker: str = "mosquitto"
) -> ServerSpec:
    """Describe a broker that knows the bridge; devices are added with `MqttCredentials(directory)`.

    Brokers of one directory, each with a name of its own, have the same accounts: a device may go to any of them.
    """
    directory = directory.resolve()
    credentials = MqttCredentials(directory)
    credentials.create(bridge_password)
    choice = choose("mqtt", prefer_embedded=prefer_embedded)
    if choice.server == "mosquitto":
        argv: tuple[str, ...] = (str(choice.binary), "-c", str(_mosquitto_configuration(port, credentials, broker)))
    else:
        argv = (sys.executable, "-m", BROKER_MODULE, str(port), str(credentials.password_file))
    return ServerSpec(
        name="mqtt",
        server=choice.server,
        version=choice.version,
        chosen=choice.chosen,
        argv=argv,
        address=(LOOPBACK, port),
        url=f"mqtt://{BRIDGE_USER}:{bridge_password}@{LOOPBACK}:{port}",
        probe=probes.mqtt,
        stale_files=(credentials.pid_file(broker),),  # written by mosquitto, which is told through it to read again
    )


def _mosquitto_configuration(port: int, credentials: MqttCredentials, broker: str) -> Path:
    path = credentials.directory / f"{broker}.conf"
    content = CONFIGURATION.format(
        port=port,
        host=LOOPBACK,
        user=getpass.getuser(),  # as root it would otherwise become a user that cannot read these files
        passwords=credentials.password_file,
        access=credentials.access_file,
        pid_file=credentials.pid_file(broker),
        broker=broker,
        directory=credentials.directory,
    )
    write_atomically(path, content)
    return path
