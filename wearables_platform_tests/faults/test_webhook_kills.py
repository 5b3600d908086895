"""kill -9 of the webhooks process between a receiver's answer and writing it down: the message comes again, same id."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wearables_platform_tests.servers import StartServer
from wearables_platform_tests.webhook_rig import LOOPBACK, WebhookRig, event, receiving, webhook_rig

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.sql, pytest.mark.timeout(300)]

EVENTS = 5


@pytest.fixture
def rig(start_server: StartServer, own_sql_url: str, tmp_path: Path) -> Iterator[WebhookRig]:
    with webhook_rig(start_server("kafka").url, own_sql_url, tmp_path) as built:
        yield built


def start(rig: WebhookRig, log_file: Path) -> subprocess.Popen[bytes]:
    environment = {
        "WEARABLES_KAFKA_URL": rig.settings.require("kafka_url"),
        "WEARABLES_SQL_URL": rig.settings.require("sql_url"),
        "WEARABLES_TOPIC_PARTITIONS": str(rig.settings.topic_partitions),
        "WEARABLES_WEBHOOK_SECRETS_DIR": str(rig.secrets.directory),
        "WEARABLES_WEBHOOK_PRIVATE_NETWORKS": LOOPBACK,
        "WEARABLES_WEBHOOK_TIMEOUT_S": "1",
    }
    with log_file.open("ab") as log:
        argv = [sys.executable, "-m", "wearables_platform.cli", "run", "webhooks"]
        return subprocess.Popen(argv, env={**os.environ, **environment}, stdout=log, stderr=log)


def test_a_message_that_was_taken_and_not_written_down_comes_again_under_its_id(
    rig: WebhookRig, tmp_path: Path
) -> None:
    log_file = tmp_path / "webhooks.log"
    with receiving(held=True) as receiver:
        secret = rig.subscribe("clinic", receiver, ("london",))
        rig.announce(*(event("ada-watch", start_s=300 * number) for number in range(EVENTS)))
        process = start(rig, log_file)
        first = receiver.await_messages(1)[0]
        process.kill()  # the receiver has it, and nobody wrote that down
        process.wait()
        receiver.held.set()
        assert rig.states() == {("clinic", "waiting"): EVENTS}

        process = start(rig, log_file)
        rig.await_states({("clinic", "delivered"): EVENTS})
        process.terminate()
        assert process.wait(60) == 0, log_file.read_text()[-2_000:]

        ids = [one.message_id for one in receiver.received]
        assert ids.count(first.message_id) == 2
        assert len(set(ids)) == EVENTS
        assert {one.body for one in receiver.received if one.message_id == first.message_id} == {first.body}
        assert all(one.signed_by(secret) for one in receiver.received)
        assert secret not in log_file.read_text()
