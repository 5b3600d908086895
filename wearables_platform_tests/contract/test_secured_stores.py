"""Every store with TLS and accounts, by URL and one CA setting alone; and what is said when one of them is wrong.

The clients' own contract suites run on the same servers: see `secured_servers`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import boto3
import pytest

from wearables_platform.clients.kafka import Admin, PartitionReader, Producer, TopicSpec
from wearables_platform.clients.lake import configured_lake
from wearables_platform.clients.mqtt import Delivery, MqttConnection, MqttListener, MqttLoop
from wearables_platform.clients.mqtt_session import parse_mqtt_url
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.errors import AccessRefused, StoreRefused
from wearables_platform.local.mqtt_credentials import MqttCredentials
from wearables_platform.settings import Settings
from wearables_platform_tests import secured_servers as secured
from wearables_platform_tests.servers import open_directory

pytestmark = pytest.mark.contract
SETTING = {"kafka": "kafka_url", "mqtt": "mqtt_url", "postgres": "sql_url", "redis": "redis_url", "s3": "lake_url"}
WAIT_S = 30.0
DEVICE, TOKEN = "watch-1", "a-token-of-the-test"


@dataclass
class Secured:
    """The secured servers of the module, each started when first asked for."""

    directory: Path
    pki: secured.Pki
    started: dict[str, secured.RunningServer]

    def settings(self, name: str, **changes: object) -> Settings:
        """The settings that lead to a server: its URL, and the CA."""
        server = self._running(name)
        if name == "s3":
            access, secret = (server.spec.env[f"ROOT_{key}_KEY"] for key in ("ACCESS", "SECRET"))
            url = f"s3://{self._bucket(access, secret)}/lake?endpoint_url={server.url}"
            found: dict[str, object] = {"lake_url": url, "lake_access_key": access, "lake_secret_key": secret}
        else:
            found = {SETTING[name]: server.url}
        return Settings(**{"ca_file": self.pki.ca, **found, **changes})

    def _running(self, name: str) -> secured.RunningServer:
        if why := secured.missing(name):
            pytest.skip(why)
        if name not in self.started:
            self.started[name] = secured.start(name, self.directory, self.pki)
            if name == "mqtt":
                MqttCredentials(self.directory / "mqtt").add_device(DEVICE, TOKEN)
        return self.started[name]

    def _bucket(self, access: str, secret: str) -> str:
        keys = {"aws_access_key_id": access, "aws_secret_access_key": secret}
        bucket = f"lake-{uuid.uuid4().hex[:12]}"
        endpoint = self.started["s3"].url
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", verify=str(self.pki.ca), **keys)
        client.create_bucket(Bucket=bucket)
        return bucket


@pytest.fixture(scope="module")
def stores() -> Iterator[Secured]:
    with open_directory() as directory:
        made = Secured(directory, secured.make_pki(directory / "pki"), {})
        yield made
        for server in made.started.values():
            server.stop()


def use_kafka(settings: Settings) -> None:
    url, topic = settings.require("kafka_url"), f"secured-{uuid.uuid4().hex[:8]}"
    Admin(url).ensure_topics([TopicSpec(topic, 1)])
    producer = Producer(url, "test")
    producer.send(topic, b"key", b"value")
    producer.flush(WAIT_S)
    reader = PartitionReader(url, topic, 0)
    fetch = None
    while fetch is None or not len(fetch):
        fetch = reader.fetch(10, WAIT_S)
    reader.close()
    assert fetch.payloads == [b"value"]


def use_mqtt(settings: Settings, protocol: str = "3.1.1") -> None:
    """Read what a device sends, of more bytes than one TLS record holds: what is decrypted must not be left lying."""
    heard: list[Delivery] = []
    change, count = threading.Condition(), 400
    sent = [bytes([i % 256]) * (i % 40 * 100) for i in range(count)]

    def told(delivery: Delivery | None = None) -> None:
        with change:
            if delivery is not None:
                heard.append(delivery)
            change.notify_all()

    options = parse_mqtt_url(f"{settings.require('mqtt_url')}&protocol={protocol}", client_id=f"test-{protocol}")
    device_options = replace(options, client_id=DEVICE, username=DEVICE, password=TOKEN)
    topic = ACCELERATION.mqtt_topic(DEVICE)
    loop = MqttLoop().start()
    bridge = MqttConnection(loop, options, MqttListener(told, told), [topic])
    device = MqttConnection(loop, device_options, MqttListener(told, told))
    try:
        for connection in (bridge, device):
            connection.open()
            with change:
                assert change.wait_for(lambda one=connection: one.ready or one.refusal, WAIT_S)  # type: ignore[misc]
            if connection.refusal:
                raise StoreRefused(connection.refusal)
        for payload in sent:
            device.publish(topic, payload)
        with change:
            assert change.wait_for(lambda: len(heard) == count and device.outstanding == 0, WAIT_S)
        assert [delivery.payload for delivery in heard] == sent
    finally:
        loop.stop()


def use_postgres(settings: Settings) -> None:
    client = SqlClient(settings.require("sql_url"), "test", pool_size=1)
    try:
        assert client.rows("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [{"ssl": True}]
    finally:
        client.close()


def use_redis(settings: Settings) -> None:
    writer = LatestWriter(settings.require("redis_url"), "test")
    writer.write([], {"a": 1})
    writer.close()
    reader = LatestReader(settings.require("redis_url"), "test")
    reader.close()


def use_s3(settings: Settings) -> None:
    lake = configured_lake(settings)
    assert not lake.holds("models/one")  # a refused upload may be cut short before it is answered; a question is not
    lake.put("models/one", b"bytes")
    assert lake.get("models/one") == b"bytes"


USES: Mapping[str, Callable[[Settings], None]] = {
    "kafka": use_kafka,
    "mqtt": use_mqtt,
    "postgres": use_postgres,
    "redis": use_redis,
    "s3": use_s3,
}


@pytest.mark.parametrize("name", USES)
def test_a_secured_store_is_used_by_url_and_ca_alone(stores: Secured, name: str) -> None:
    USES[name](stores.settings(name))


def test_mqtt_5_works_over_tls_as_3_1_1_does(stores: Secured) -> None:
    use_mqtt(stores.settings("mqtt"), protocol="5")


def wrong_password(stores: Secured, name: str) -> Settings:
    if name == "s3":
        return stores.settings(name, lake_secret_key="not-the-secret")
    url = stores.settings(name).require(SETTING[name]).partition("ca_file=")[0]
    parts = urlsplit(url)
    netloc = f"{parts.username}:not-the-secret@{parts.hostname}:{parts.port}"
    return stores.settings(name, **{SETTING[name]: urlunsplit(parts._replace(netloc=netloc))})


def wrong_ca(stores: Secured, name: str) -> Settings:
    return stores.settings(name, ca_file=stores.pki.other_ca)


def wrong_host(stores: Secured, name: str) -> Settings:
    known = stores.settings(name)
    value = getattr(known, SETTING[name])
    url = value if isinstance(value, str) else value.get_secret_value()
    return stores.settings(name, **{SETTING[name]: url.replace(secured.HOST, secured.WRONG_HOST)})


@pytest.mark.parametrize("wrong", [wrong_password, wrong_ca, wrong_host])
@pytest.mark.parametrize("name", USES)
def test_a_wrong_account_ca_or_host_is_refused_in_one_line_without_a_secret(
    stores: Secured, name: str, wrong: Callable[[Secured, str], Settings]
) -> None:
    settings = wrong(stores, name)
    with pytest.raises(StoreRefused) as refused:
        USES[name](settings)
    said = str(refused.value)
    assert len(said.splitlines()) == 1
    assert "not-the-secret" not in said
    for secret in urlsplit(stores.started[name].url).password, *stores.started[name].spec.env.values():
        assert not secret or secret == secured.S3_USER or secret not in said
    if name != "mqtt":  # there the process that connects names the setting: a device's connection has another
        assert isinstance(refused.value, AccessRefused)
        assert said.startswith("WEARABLES_LAKE_" if name == "s3" else f"WEARABLES_{SETTING[name].upper()}: ")


def test_an_account_without_rights_is_refused_what_it_has_none_for(stores: Secured) -> None:
    settings = stores.settings("kafka")
    use_kafka(settings)
    stranger = settings.require("kafka_url").replace(f"//{secured.KAFKA_USER}:", "//stranger:")
    with pytest.raises(StoreRefused, match=r"(?i)authoriz|denied|not appear"):
        Admin(stranger).ensure_topics([TopicSpec(f"forbidden-{uuid.uuid4().hex[:8]}", 1)])


@pytest.mark.parametrize("wrong", [wrong_password, wrong_ca])
def test_a_process_that_may_not_connect_ends_with_exit_code_3_and_says_which_setting(
    stores: Secured, tmp_path: Path, wrong: Callable[[Secured, str], Settings]
) -> None:
    settings = wrong(stores, "kafka")
    assert settings.kafka_url is not None
    given = {"KAFKA_URL": settings.kafka_url.get_secret_value(), "CA_FILE": str(settings.ca_file)}
    environment = {**os.environ, "WEARABLES_RUN_DIR": str(tmp_path)}
    environment |= {f"WEARABLES_{name}": value for name, value in given.items()}
    command = [sys.executable, "-m", "wearables_platform.cli", "run", "bridge"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("wearables: WEARABLES_KAFKA_URL: ")
    assert urlsplit(given["KAFKA_URL"]).password not in ended.stderr
