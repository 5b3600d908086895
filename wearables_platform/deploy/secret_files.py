"""The secrets of a deployment as files: passwords drawn once, and the URLs made of them anew each time.

A file each, named as in docker-compose.yml. The directory is closed to everybody but its owner; the files in it may be
read by all, because a container's user is nobody the host knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wearables_platform.errors import ConfigError
from wearables_platform.local.files import write_atomically
from wearables_platform.local.mqtt_credentials import BRIDGE_USER
from wearables_platform.local.servers import new_password
from wearables_platform.settings import read_secret_file
from wearables_platform.sql.logins import PROCESS_ROLES

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o444

PASSWORDS: Final = (
    "sql_owner_password",
    *(f"sql_{process}_password" for process in PROCESS_ROLES),
    "dagster_store_password",
    "kafka_broker_password",
    "kafka_client_password",
    "mongo_root_password",
    "mongo_client_password",
    "redis_password",
    "minio_root_password",
    "lake_secret_key",
    "mqtt_bridge_password",
    "api_token",
    "model_signing_key",
    "grafana_admin_password",
)


def derived(password: Mapping[str, str]) -> dict[str, str]:
    """Return what is made of the passwords: each store's URL for each process, and Redis's account list."""
    sql = "postgresql://{}:{}@timescale:5432/wearables"
    urls = {"sql_owner_url": sql.format("wearables", password["sql_owner_password"])}
    for process in PROCESS_ROLES:
        urls[f"sql_{process}_url"] = sql.format(f"wearables_{process}_login", password[f"sql_{process}_password"])
    bridge = f"mqtt://{BRIDGE_USER}:{password['mqtt_bridge_password']}"
    digest = hashlib.sha256(password["redis_password"].encode()).hexdigest()
    return {
        **urls,
        "dagster_store_url": f"postgresql+psycopg2://wearables_dagster:{password['dagster_store_password']}"
        "@timescale:5432/wearables",
        "kafka_url": f"kafka://wearables:{password['kafka_client_password']}@kafka:9092",
        "mongo_url": f"mongodb://wearables:{password['mongo_client_password']}@mongo:27017/wearables"
        "?authSource=wearables",
        "redis_url": f"redis://wearables:{password['redis_password']}@redis:6379/0",
        "mqtt_1_url": f"{bridge}@mosquitto-1:1883?client_id=wearables-bridge-1",
        "mqtt_2_url": f"{bridge}@mosquitto-2:1883?client_id=wearables-bridge-2",
        # The account may do anything to keys and nothing to the server; clients tell their name when they connect.
        "redis_users": f"user default off\nuser wearables on #{digest} ~* &* "
        "+@all -@admin -@dangerous +client|setname +info +keys",
    }


NAMES: Final = (*PASSWORDS, *derived(dict.fromkeys(PASSWORDS, "")))


def make_secrets(directory: Path) -> list[str]:
    """Draw the passwords that are not there yet and write what is made of all of them; returns what was drawn.

    Safe to run again: a password that is there stays. One that somebody changed in its file goes into the URLs.
    """
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    mode = directory.stat().st_mode & 0o777
    if mode & 0o077:
        msg = f"others than its owner may enter {directory} (mode {mode:04o}): chmod go-rwx, then draw the secrets"
        raise ConfigError(msg)
    drawn = [name for name in PASSWORDS if not (directory / name).exists()]
    for name in drawn:
        write_atomically(directory / name, new_password() + "\n", FILE_MODE)
    passwords = {name: read_secret_file(directory / name, name) for name in PASSWORDS}
    for name, value in derived(passwords).items():
        write_atomically(directory / name, value + "\n", FILE_MODE)
    return drawn
