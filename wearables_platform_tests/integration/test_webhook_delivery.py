"""Webhooks on a real Kafka, a real database and real receivers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from wearables_platform.cli import build_app
from wearables_platform.domain.channels import ANOMALIES_TOPIC, DEAD_LETTERS_TOPIC
from wearables_platform_tests.api_world import NOW, World
from wearables_platform_tests.archive_rig import await_true
from wearables_platform_tests.servers import StartServer
from wearables_platform_tests.stream_rig import whole_log
from wearables_platform_tests.webhook_rig import LOOPBACK, WebhookRig, event, receiving, webhook_rig

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.sql]

LONDON = ("london",)


@pytest.fixture
def rig(start_server: StartServer, own_sql_url: str, tmp_path: Path) -> Iterator[WebhookRig]:
    with webhook_rig(start_server("kafka").url, own_sql_url, tmp_path) as built:
        yield built


def overdue(rig: WebhookRig, *, given_up: bool = False) -> None:
    """Let the time of every waiting message come now; and be the last one, if it is to be given up."""
    column = "give_up_at" if given_up else "next_attempt_at"
    rig.client.execute(f"UPDATE registry.webhook_deliveries SET {column} = now() WHERE state = 'waiting'")


def test_events_are_sent_signed_to_those_who_asked_for_them(rig: WebhookRig) -> None:
    began = event("ada-watch", provisional=True, revision=1)
    ended = event("ada-watch")
    slight = event("alan-watch", severity="info", kind="not_worn")
    elsewhere = event("marie-watch")
    nobodys = event("lost-watch")
    with receiving() as london, receiving() as loud, receiving() as everything:
        secret = rig.subscribe("london", london, LONDON)
        rig.subscribe("loud", loud, LONDON, kinds=("high_heart_rate_at_rest",), least_severity="warning")
        rig.subscribe("everything", everything, None)
        with rig.delivering():
            rig.announce(began, ended, slight, elsewhere, nobodys)
            rig.await_states({("london", "delivered"): 3, ("loud", "delivered"): 2, ("everything", "delivered"): 5})
        assert all(one.signed_by(secret) for one in london.received)
        assert not any(one.signed_by(secret) for one in everything.received)
        told = {(one.message["type"], one.message["data"]["device_id"]) for one in london.received}
        final, provisional = "anomaly.final", "anomaly.provisional"
        assert told == {(provisional, "ada-watch"), (final, "ada-watch"), (final, "alan-watch")}
        people = {
            one.message["data"]["device_id"]: one.message["data"]["participant_id"] for one in everything.received
        }
        assert people == {"ada-watch": "ada", "alan-watch": "alan", "marie-watch": "marie", "lost-watch": None}
        said = next(one.message for one in loud.received if one.message["type"] == final)
        assert said["data"]["started_at"] == said["timestamp"] == NOW.isoformat().replace("+00:00", "Z")
        assert (said["data"]["study_id"], said["data"]["extreme_value"]) == ("london", 155.0)


def test_an_event_is_of_whoever_wore_the_device_when_it_began(rig: WebhookRig) -> None:
    World(rig.settings.require("sql_url")).reassign("marie-watch", "ada", NOW + timedelta(seconds=10))
    with receiving() as london:
        rig.subscribe("london", london, LONDON)
        with rig.delivering():
            rig.announce(event("marie-watch", start_s=9), event("marie-watch", start_s=10))
            rig.await_states({("london", "delivered"): 1})
        assert london.received[0].message["data"]["participant_id"] == "ada"


def test_what_the_log_says_again_is_not_sent_again_and_what_is_no_event_stops_nothing(rig: WebhookRig) -> None:
    with receiving() as london:
        rig.subscribe("london", london, LONDON)
        with rig.delivering():
            rig.announce(event("ada-watch"))
            rig.producer.send(ANOMALIES_TOPIC, b"ada-watch", b"no event")
            rig.announce(event("ada-watch"), event("ada-watch", start_s=300))
            london.await_messages(2)
            rig.await_states({("london", "delivered"): 2})
        assert len({one.message_id for one in london.received}) == len(london.received) == 2
        letters = [p for f in whole_log(rig.settings.require("kafka_url"), DEAD_LETTERS_TOPIC, 0) for p in f.payloads]
        assert letters == [b"no event"]


def test_a_receiver_is_not_told_what_was_announced_before_it_was_added(rig: WebhookRig) -> None:
    rig.announce(event("ada-watch"))
    with receiving() as london:
        secret_drawn_after = datetime.now(UTC) + timedelta(seconds=5)
        rig.subscribe("london", london, LONDON)
        rig.client.execute("UPDATE registry.webhooks SET created_at = %s", (secret_drawn_after,))
        with rig.delivering():
            await_true(lambda: committed(rig) >= 1)
        assert rig.states() == {}


def committed(rig: WebhookRig) -> int:
    from wearables_platform.clients.kafka import committed_positions
    from wearables_platform.webhooks.process import GROUP

    positions = [(ANOMALIES_TOPIC, number) for number in range(2)]
    return sum(committed_positions(rig.settings.require("kafka_url"), GROUP, positions).values())


def test_a_receiver_that_does_not_answer_holds_up_nobody_else(rig: WebhookRig) -> None:
    with receiving(held=True) as stuck, receiving() as quick:
        rig.subscribe("stuck", stuck, LONDON)
        rig.subscribe("quick", quick, LONDON)
        with rig.delivering():
            rig.announce(*(event("ada-watch", start_s=300 * number) for number in range(20)))
            quick.await_messages(20)
            assert len(stuck.await_messages(1)) == 1
            rig.await_states({("stuck", "waiting"): 20, ("quick", "delivered"): 20})
            stuck.held.set()
            rig.await_states({("stuck", "delivered"): 20, ("quick", "delivered"): 20})


def test_a_refused_message_comes_again_under_its_id_until_it_is_given_up_and_may_be_sent_once_more(
    rig: WebhookRig,
) -> None:
    with receiving() as london:
        london.answers += [(500, {}), (307, {"Location": "http://127.0.0.1:1/"}), (400, {})]
        rig.subscribe("london", london, LONDON)
        with rig.delivering():
            rig.announce(event("ada-watch"))
            for attempt in range(1, 4):
                london.await_messages(attempt)
                await_true(lambda: last_result(rig) is not None)
                rig.client.execute("UPDATE registry.webhook_deliveries SET last_result = NULL")
                if attempt == 2:
                    overdue(rig, given_up=True)
                overdue(rig)
            rig.await_states({("london", "dead"): 1})
            assert rig.subscriptions.dead("london")[0]["attempts"] == 3
            now = datetime.now(UTC)
            assert rig.subscriptions.revive("london", now, now + timedelta(days=1)) == 1
            rig.await_states({("london", "delivered"): 1})
        assert len({one.message_id for one in london.received}) == 1
        assert len({one.body for one in london.received}) == 1
        assert len(london.received) == 4


def last_result(rig: WebhookRig) -> str | None:
    rows = rig.client.rows("SELECT last_result FROM registry.webhook_deliveries")
    return rows[0]["last_result"] if rows else None


def test_a_receiver_that_says_it_is_gone_is_sent_nothing_more(rig: WebhookRig) -> None:
    with receiving() as london:
        london.answers.append((410, {}))
        rig.subscribe("london", london, LONDON)
        with rig.delivering():
            rig.announce(event("ada-watch"))
            rig.await_states({("london", "dead"): 1})
            rig.announce(event("ada-watch", start_s=300))
            await_true(lambda: committed(rig) >= 2)
        assert len(london.received) == 1
        assert rig.states() == {("london", "dead"): 1}


@pytest.fixture
def cli(rig: WebhookRig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for name, value in {
        "SQL_URL": rig.settings.require("sql_url"),
        "WEBHOOK_SECRETS_DIR": str(tmp_path / "secrets"),
        "WEBHOOK_PRIVATE_NETWORKS": LOOPBACK,
    }.items():
        monkeypatch.setenv(f"WEARABLES_{name}", value)

    def call(*arguments: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(build_app("webhooks"), ["webhooks", *arguments])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result.output

    return call


def test_the_command_line_adds_tests_lists_rotates_and_removes(rig: WebhookRig, cli: Any) -> None:
    with receiving() as london:
        added = json.loads(cli("add", "clinic", "--url", london.url, "--study", "london", "--json"))
        assert "has a secret" not in cli("test", "clinic")
        assert london.received[0].signed_by(added["drawn"])
        assert london.received[0].message["type"] == "webhook.test"
        rotated = json.loads(cli("rotate", added["secret"], "--json"))
        london.answers.append((500, {}))
        assert "HTTP 500" in cli("test", "clinic", exit_code=1)
        assert london.received[1].signed_by(added["drawn"])
        assert london.received[1].signed_by(rotated["drawn"])
        listed = cli("list", "--json")
        assert json.loads(listed)[0]["studies"] == "london"
        assert added["drawn"] not in listed
        assert json.loads(cli("dead", "--json")) == []
        cli("remove", "clinic")
        assert json.loads(cli("list", "--json")) == []
        assert (rig.secrets.directory / "clinic").exists()


def test_nothing_of_a_secret_is_in_the_database_and_an_analyst_sees_no_receiver(rig: WebhookRig, cli: Any) -> None:
    with receiving() as london:
        added = json.loads(cli("add", "clinic", "--url", london.url, "--study", "london", "--json"))
    rows = rig.client.rows("SELECT to_jsonb(w) AS row FROM registry.webhooks w")
    assert added["drawn"] not in json.dumps([row["row"] for row in rows])
    with psycopg.connect(rig.settings.require("sql_url")) as connection:
        connection.execute("SET ROLE analyst")
        for table in ("webhooks", "webhook_deliveries"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(f"SELECT * FROM registry.{table}")
