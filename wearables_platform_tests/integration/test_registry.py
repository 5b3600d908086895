"""Enrolment, tokens and the gateways' lookup, on a real database."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import to_us
from wearables_platform.errors import ConfigError, StoreRefused, StoreUnavailable
from wearables_platform.registry import (
    LOOKUP_TTL_S,
    UNKNOWN_TTL_S,
    Device,
    DeviceDirectory,
    Enrolment,
    Participant,
    Registry,
    token_digest,
)

pytestmark = [pytest.mark.integration, pytest.mark.sql]
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Broker:
    """A credential sink that remembers, as a broker's password file does."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}

    def add_devices(self, tokens: Mapping[str, str]) -> None:
        self.tokens.update(tokens)

    def remove_devices(self, device_ids: Iterable[str]) -> None:
        for device_id in device_ids:
            self.tokens.pop(device_id, None)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def client(sql_url: str) -> Iterator[SqlClient]:
    opened = SqlClient(sql_url, "registry tests")
    yield opened
    opened.close()


@pytest.fixture
def registry(client: SqlClient, broker: Broker) -> Registry:
    return Registry(client, broker)


def participant(**changes: object) -> Participant:
    given = {
        "participant_id": f"p-{uuid.uuid4().hex[:8]}",
        "study_id": "study-1",
        "birth_year": 1980,
        "sex": "female",
        "time_zone": "Europe/Berlin",
    }
    return Participant(**(given | changes))  # type: ignore[arg-type]


def enrolment(person: Participant | None = None, device_id: str | None = None) -> Enrolment:
    return Enrolment(person or participant(), device_id or f"watch-{uuid.uuid4().hex[:8]}", AT)


def enrol_one(registry: Registry) -> tuple[str, str]:
    wanted = enrolment()
    return wanted.device_id, registry.enrol([wanted])[wanted.device_id]


def device(registry: Registry, device_id: str) -> Device:
    found = registry.find_device(device_id)
    assert found is not None
    return found


def test_an_enrolled_device_proves_itself_with_its_token_only(registry: Registry, broker: Broker) -> None:
    device_id, token = enrol_one(registry)
    found = device(registry, device_id)
    assert found.registered_us == to_us(AT)
    assert found.accepts(token)
    assert not found.accepts(token[:-1])
    assert not found.accepts("")
    assert broker.tokens[device_id] == token


def test_the_token_itself_is_stored_nowhere(registry: Registry, client: SqlClient) -> None:
    device_id, token = enrol_one(registry)
    rows = client.rows("SELECT * FROM registry.credentials WHERE device_id = %(device)s", {"device": device_id})
    assert [row["token_sha256"] for row in rows] == [token_digest(token)]
    assert token not in str(rows)


def test_enrolling_again_changes_nothing_and_shows_no_token(registry: Registry, broker: Broker) -> None:
    wanted = [enrolment() for _ in range(3)]
    assert set(registry.enrol(wanted)) == {entry.device_id for entry in wanted}
    known = dict(broker.tokens)
    assert registry.enrol(wanted) == {}
    assert broker.tokens == known


def test_a_participant_cannot_become_somebody_else(registry: Registry) -> None:
    first = enrolment()
    registry.enrol([first])
    changed = Participant(**(vars(first.participant) | {"birth_year": 1990}))
    other = enrolment()
    with pytest.raises(StoreRefused, match="other particulars"):
        registry.enrol([other, enrolment(changed)])
    assert registry.find_device(other.device_id) is None, "all or none"


def test_a_device_changes_hands_only_when_told(registry: Registry, client: SqlClient) -> None:
    first, second = enrolment(), enrolment()
    registry.enrol([first, second])
    with pytest.raises(StoreRefused, match="is worn by"):
        registry.enrol([enrolment(second.participant, first.device_id)])
    later = AT + timedelta(days=3)
    registry.reassign(first.device_id, second.participant.participant_id, later)
    rows = client.rows(
        "SELECT participant_id, valid_from, valid_to = 'infinity' AS open FROM registry.assignments"
        " WHERE device_id = %(device)s ORDER BY valid_from",
        {"device": first.device_id},
    )
    assert [(row["participant_id"], row["valid_from"], row["open"]) for row in rows] == [
        (first.participant.participant_id, AT, False),
        (second.participant.participant_id, later, True),
    ]


def test_two_tokens_live_while_one_is_exchanged(registry: Registry, broker: Broker) -> None:
    device_id, first = enrol_one(registry)
    second = registry.rotate([device_id], AT + timedelta(days=1))[device_id]
    assert [device(registry, device_id).accepts(token) for token in (first, second)] == [True, True]
    third = registry.rotate([device_id], AT + timedelta(days=2))[device_id]
    assert [device(registry, device_id).accepts(token) for token in (first, second, third)] == [False, True, True]
    registry.retire(device_id, AT + timedelta(days=3))
    assert [device(registry, device_id).accepts(token) for token in (second, third)] == [False, True]
    assert broker.tokens[device_id] == third


def test_a_revoked_device_is_refused_everywhere(registry: Registry, broker: Broker) -> None:
    device_id, token = enrol_one(registry)
    registry.revoke([device_id], AT + timedelta(days=1))
    assert not device(registry, device_id).accepts(token)
    assert device_id not in broker.tokens
    with pytest.raises(StoreRefused, match="revoked"):
        registry.rotate([device_id], AT + timedelta(days=2))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"participant_id": "a b"}, "participant id 'a b'"),
        ({"birth_year": 26}, "birth year 26"),
        ({"sex": "F"}, "sex 'F'"),
        ({"time_zone": "CET+1"}, "time zone 'CET\\+1'"),
    ],
)
def test_wrong_particulars_are_named(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        participant(**changes)


def test_a_device_id_with_wildcards_cannot_be_enrolled() -> None:
    with pytest.raises(ConfigError, match="device id"):
        enrolment(device_id="watch/#")


def test_the_directory_asks_once_per_lifetime_and_survives_an_outage() -> None:
    answers: list[Device | None | StoreUnavailable] = [None, Device("w", 1, True, ()), StoreUnavailable("down")]
    now_s, asked = [0.0], []

    def find(device_id: str) -> Device | None:
        asked.append(device_id)
        answer = answers.pop(0)
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer

    directory = DeviceDirectory(find, lambda: now_s[0])
    assert directory.find("w") is None
    assert directory.find("w") is None
    assert len(asked) == 1
    now_s[0] = UNKNOWN_TTL_S
    known = directory.find("w")
    assert known is not None
    now_s[0] += LOOKUP_TTL_S + 1
    assert directory.find("w") is known
    assert len(asked) == 3
    assert directory.find("not/an/id") is None
    assert len(asked) == 3


def test_a_stranger_during_an_outage_is_not_called_unknown() -> None:
    def find(device_id: str) -> Device | None:
        msg = "down"
        raise StoreUnavailable(msg)

    with pytest.raises(StoreUnavailable):
        DeviceDirectory(find, lambda: 0.0).find("w")
