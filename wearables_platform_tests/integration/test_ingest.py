"""What the ingest accepts and refuses: 202 only when Kafka has it, and every refusal says why."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from wearables_platform.domain.channels import ACCELERATION, STATUS, VITALS, Channel
from wearables_platform.domain.identity import boot_text
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests import ingest_rig, messages
from wearables_platform_tests.ingest_rig import MAX_PAYLOAD_BYTES, Enrolled, IngestRig
from wearables_platform_tests.messages import BOOT, START_US

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.sql]


@pytest.fixture(scope="module")
def rig(kafka_url: str, sql_url: str) -> Iterator[IngestRig]:
    with ingest_rig.rig(kafka_url, sql_url) as built:
        yield built


@pytest.fixture(scope="module")
def client(rig: IngestRig) -> Iterator[FlaskClient]:
    with ingest_rig.application(rig) as app:
        yield app.test_client()


@pytest.fixture
def device(rig: IngestRig) -> Enrolled:
    return rig.enrol()


def post(client: FlaskClient, device: Enrolled, channel: Channel, body: bytes, **options: Any) -> Any:
    return ingest_rig.post(client, device, channel, body, **options)


def post_json(client: FlaskClient, device: Enrolled, channel: Channel, document: Any, **options: Any) -> Any:
    return post(client, device, channel, json.dumps(document).encode(), content_type="application/json", **options)


def delimited(payloads: list[bytes]) -> bytes:
    return b"".join(varint(len(payload)) + payload for payload in payloads)


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + varint(number // 128)


def vitals_document(device: Enrolled, **changes: Any) -> dict[str, Any]:
    return {
        "device_id": device.device_id,
        "boot_id": boot_text(BOOT),
        "sequence": 5,
        "heart_rate": [{"time_us": START_US + 1, "bpm": 60.5}, {"time_us": str(START_US), "bpm": 61}],
        "steps": [{"start_time_us": START_US + 2, "end_time_us": START_US + 3, "count": 4}],
        "vendor": {"b": "2", "a": "1"},
        "readings": [{"sensor": "skin_temperature", "time_us": START_US + 4, "value": 33.1}],
    } | changes


@pytest.mark.parametrize("channel", [ACCELERATION, VITALS, STATUS])
def test_a_message_answered_202_is_in_kafka_byte_for_byte(
    client: FlaskClient, rig: IngestRig, device: Enrolled, channel: Channel
) -> None:
    payload = messages.make(channel, device.device_id, 7)
    answer = post(client, device, channel, payload)
    assert answer.status_code == 202
    assert answer.json["accepted"]["device_id"] == device.device_id
    assert answer.json["accepted"]["sequence"] == 7
    (record,) = rig.records_of(device, channel)
    assert record.payload == payload
    assert record.headers == {}


def test_json_becomes_one_protobuf_however_it_is_written(client: FlaskClient, rig: IngestRig, device: Enrolled) -> None:
    document = vitals_document(device)
    written_otherwise = dict(reversed(document.items())) | {"boot_id": str(BOOT), "vendor": {"a": "1", "b": "2"}}
    answers = [post_json(client, device, VITALS, each) for each in (document, written_otherwise)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json == answers[1].json
    assert answers[0].json["accepted"]["boot_id"] == boot_text(BOOT)
    first, second = rig.records_of(device, VITALS)
    assert first.payload == second.payload
    message = pb.VitalsBatch.FromString(first.payload)
    assert message.start_time_us == START_US, "the earliest reading's, where none is said"
    assert [reading.bpm for reading in message.heart_rate] == [60.5, 61.0]
    assert [(reading.sensor, reading.channel, reading.value) for reading in message.readings] == [
        ("skin_temperature", "", 33.1)
    ]


def test_status_comes_as_json_too(client: FlaskClient, rig: IngestRig, device: Enrolled) -> None:
    document = {"device_id": device.device_id, "boot_id": 2**62, "sequence": 0, "start_time_us": START_US, "worn": True}
    assert post_json(client, device, STATUS, document).status_code == 202
    (record,) = rig.records_of(device, STATUS)
    assert pb.DeviceStatus.FromString(record.payload).worn


def test_readings_from_long_before_enrolment_are_marked_for_quarantine(
    client: FlaskClient, rig: IngestRig, device: Enrolled
) -> None:
    early = messages.acceleration(device.device_id, 0, start_us=1_500_000_000_000_000)
    assert post(client, device, ACCELERATION, early).status_code == 202
    assert [record.verdict for record in rig.records_of(device, ACCELERATION)] == ["before_registration"]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"\xff\xff not a message", 400, "undecodable"),
        (b"", 400, "empty"),
        (pb.VitalsBatch(device_id="a b", boot_id=1, start_time_us=START_US).SerializeToString(), 422, "bad_device_id"),
        (pb.VitalsBatch(device_id="w", boot_id=0, start_time_us=START_US).SerializeToString(), 422, "bad_identity"),
        (messages.vitals("somebody-else", 0), 403, "forged_id"),
    ],
    ids=["garbage", "empty", "device-id", "boot-id", "forged"],
)
def test_a_bad_message_is_refused_with_its_reason_and_kept_as_a_dead_letter(
    client: FlaskClient, rig: IngestRig, device: Enrolled, body: bytes, status: int, reason: str
) -> None:
    answer = post(client, device, VITALS, body)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json["type"].endswith(f":{reason}")
    (letter,) = rig.dead_letters_of(device)
    assert (letter.payload, letter.headers["reason"], letter.headers["consumer"]) == (body, reason.encode(), b"ingest")
    assert rig.records_of(device, VITALS) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"heart_rate": [{"time_us": START_US, "bpm": "fast"}]}, "heart_rate.0.bpm"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 2**64}, "sequence"),
        ({"boot_id": "xyzxyzxyzxyzxyzx"}, "boot_id"),
        ({"pulse": 60}, "pulse"),
        ({"readings": [{"sensor": "skin_temperature", "time_us": START_US, "value": "warm"}]}, "readings.0.value"),
        ({"vendor": {"name": "\ud800"}}, "surrogates"),
    ],
)
def test_bad_json_is_refused_by_the_name_of_its_field(
    client: FlaskClient, rig: IngestRig, device: Enrolled, changes: dict[str, Any], named: str
) -> None:
    answer = post_json(client, device, VITALS, vitals_document(device, **changes))
    assert answer.status_code == 400
    assert named in answer.json["detail"]
    assert len(rig.dead_letters_of(device)) == 1


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"sequence": ' + b"9" * 5_000 + b"}", b"\xff\xfe", b"null", b"[]"],
    ids=["nested", "digits", "not-text", "null", "array"],
)
def test_json_made_to_hurt_is_refused(client: FlaskClient, device: Enrolled, body: bytes) -> None:
    answer = post(client, device, VITALS, body[:MAX_PAYLOAD_BYTES], content_type="application/json")
    assert answer.status_code == 400


def test_who_is_not_enrolled_learns_nothing(client: FlaskClient, rig: IngestRig, device: Enrolled) -> None:
    stranger = Enrolled("stranger", "token")
    wrong = Enrolled(device.device_id, "token")
    other = Enrolled(device.device_id, rig.enrol().token)
    answers = [
        post(client, sender, VITALS, messages.vitals(sender.device_id, 0)) for sender in (stranger, wrong, other)
    ]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert len({answer.json["detail"] for answer in answers}) == 1
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"
    assert rig.records_of(device, VITALS) == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/devices/{device}/temperature", {}, 404),
        ("/v1/devices/{device}/vitals", {"Content-Type": "text/csv"}, 415),
        ("/v1/devices/{device}/acceleration", {"Content-Type": "application/json"}, 415),
        ("/v1/devices/{device}/vitals", {"Content-Encoding": "gzip"}, 415),
        ("/v2/anything", {}, 404),
    ],
)
def test_what_cannot_be_understood_is_refused_before_its_body_is_read(
    client: FlaskClient, device: Enrolled, path: str, headers: dict[str, str], status: int
) -> None:
    given = {"Content-Type": "application/x-protobuf"} | headers | device.authorization
    answer = client.post(path.format(device=device.device_id), data=b"body", headers=given)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"


def test_another_method_is_refused(client: FlaskClient, device: Enrolled) -> None:
    answer = client.get(device.path(VITALS))
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_a_body_beyond_the_limit_is_refused_unread(client: FlaskClient, rig: IngestRig, device: Enrolled) -> None:
    answer = post(client, device, VITALS, bytes(MAX_PAYLOAD_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json["type"].endswith(":too_large")
    assert rig.dead_letters_of(device) == []


def test_a_batch_is_accepted_message_by_message(client: FlaskClient, rig: IngestRig, device: Enrolled) -> None:
    good = [messages.vitals(device.device_id, sequence) for sequence in range(500)]
    bad = [b"\xff\xff\xff", messages.vitals("somebody-else", 0)]
    answer = post(client, device, VITALS, delimited([*good[:250], *bad, *good[250:]]), batch=True)
    assert answer.status_code == 202
    assert [entry["sequence"] for entry in answer.json["accepted"]] == list(range(500))
    assert [(entry["position"], entry["reason"]) for entry in answer.json["refused"]] == [
        (250, "undecodable"),
        (251, "forged_id"),
    ]
    assert [record.payload for record in rig.records_of(device, VITALS)] == good
    assert sorted(letter.payload for letter in rig.dead_letters_of(device)) == sorted(bad)


def test_a_json_batch_is_an_array(client: FlaskClient, rig: IngestRig, device: Enrolled) -> None:
    documents = [vitals_document(device, sequence=sequence) for sequence in range(20)]
    documents[3] = {"device_id": device.device_id, "nonsense": True}
    answer = post_json(client, device, VITALS, documents, batch=True)
    assert answer.status_code == 202
    assert len(answer.json["accepted"]) == 19
    assert [entry["position"] for entry in answer.json["refused"]] == [3]
    assert len(rig.records_of(device, VITALS)) == 19
    (letter,) = rig.dead_letters_of(device)
    assert json.loads(letter.payload) == documents[3]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\x05ab", 400),
        (b"\xff\xff\xff\xff\xff\xff", 400),
        (b"\x00" * 1_441, 413),
        (delimited([b"\xff", b"\xfe"]), 400),
    ],
    ids=["empty", "cut", "no-length", "too-many", "garbage"],
)
def test_a_batch_of_which_nothing_is_accepted_is_refused(
    client: FlaskClient, rig: IngestRig, device: Enrolled, body: bytes, status: int
) -> None:
    assert post(client, device, VITALS, body, batch=True).status_code == status
    assert rig.records_of(device, VITALS) == []
    assert rig.dead_letters_of(device)


def test_a_resend_of_a_refused_message_is_the_same_dead_letter(
    client: FlaskClient, rig: IngestRig, device: Enrolled
) -> None:
    for _ in range(2):
        post(client, device, VITALS, b"\xff\xff\xff")
    first, second = rig.dead_letters_of(device)
    assert first.key == second.key


def test_without_kafka_nothing_is_promised(rig: IngestRig, device: Enrolled) -> None:
    with ingest_rig.application(rig, "kafka://127.0.0.1:9", wait_s=1) as app:
        client = app.test_client()
        answers = [
            post(client, device, VITALS, messages.vitals(device.device_id, 0)),
            post(client, device, VITALS, b"\xff\xff\xff"),
            client.get("/health/ready"),
        ]
        assert [answer.status_code for answer in answers] == [503] * 3
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert client.get("/health/live").status_code == 200


def test_more_requests_than_places_are_told_to_come_back(rig: IngestRig, device: Enrolled) -> None:
    with ingest_rig.application(rig, "kafka://127.0.0.1:9", max_in_flight=2, wait_s=3) as app:
        payload = messages.vitals(device.device_id, 0)
        statuses: list[int] = []
        start = threading.Barrier(6)

        def one() -> None:
            start.wait()
            answer = post(app.test_client(), device, VITALS, payload)
            assert int(answer.headers["Retry-After"]) > 0
            statuses.append(answer.status_code)

        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [429, 429, 429, 429, 503, 503]
        assert post(app.test_client(), device, VITALS, payload).status_code == 503, "places are given back"


def test_the_figures_are_served(client: FlaskClient, device: Enrolled) -> None:
    post(client, device, VITALS, messages.vitals(device.device_id, 0))
    assert b'wearables_ingest_messages_total{channel="vitals",outcome="accepted"}' in client.get("/metrics").data
