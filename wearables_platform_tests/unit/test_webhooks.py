"""Webhooks without servers: signatures, secrets, addresses, waiting times."""

from __future__ import annotations

import ipaddress
import random
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from wearables_platform.errors import ConfigError, StoreRefused, WireError
from wearables_platform.webhooks import deliveries
from wearables_platform.webhooks.deliveries import retry_after_s
from wearables_platform.webhooks.messages import announcement_of, message_body, message_id
from wearables_platform.webhooks.receivers import Sender, is_sendable, networks_of, require_sendable, sendable_address
from wearables_platform.webhooks.signing import SecretFiles, key_of, signed_headers
from wearables_platform.webhooks.subscriptions import Subscription
from wearables_platform_tests.webhook_rig import Received, event, receiving


def test_a_message_is_signed_as_the_reference_library_signs_it() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [key])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330")


def test_while_a_secret_is_rotated_a_message_is_signed_with_both(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    with files.drawn_unless_there("clinic") as first:
        assert first is not None
    second = files.rotate("clinic")
    third = files.rotate("clinic")
    assert files.keys("clinic") == [key_of(third), key_of(second)]
    both = Received(dict(signed_headers("msg_1", 1, b"{}", files.keys("clinic"))), b"{}")
    assert both.signed_by(second)
    assert both.signed_by(third)
    assert not both.signed_by(first)
    files.drop_old("clinic")
    assert files.keys("clinic") == [key_of(third)]


def test_a_secret_is_readable_by_its_owner_alone_and_never_drawn_over_another(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    with files.drawn_unless_there("clinic") as drawn:
        assert drawn is not None
    with files.drawn_unless_there("clinic") as again:
        assert again is None
    assert stat.S_IMODE((files.directory / "clinic").stat().st_mode) == 0o600
    assert stat.S_IMODE(files.directory.stat().st_mode) == 0o700


def test_a_secret_nobody_saw_is_taken_away(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path)
    with pytest.raises(StoreRefused), files.drawn_unless_there("clinic"):
        raise StoreRefused
    with pytest.raises(ConfigError, match="cannot be read"):
        files.keys("clinic")


@pytest.mark.parametrize("name", ["../x", "a/b", ".lock", ""])
def test_a_secrets_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no name of a secret"):
        SecretFiles(tmp_path).keys(name)


@pytest.mark.parametrize("secret", ["whsec_short", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "A" * 200, "whsec_!"])
def test_a_bad_secret_is_refused_without_being_said(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        key_of(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:a00:1::",
    ],
)  # fmt: skip
def test_no_private_address_is_sent_to(address: str) -> None:
    assert not is_sendable(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_a_public_address_is_sent_to(address: str) -> None:
    assert is_sendable(ipaddress.ip_address(address), ())


def test_a_private_network_that_is_allowed_is_sent_to_and_no_other() -> None:
    allowed = networks_of("10.8.0.0/16, fd00::/8")
    assert is_sendable(ipaddress.ip_address("10.8.3.4"), allowed)
    assert is_sendable(ipaddress.ip_address("::ffff:10.8.3.4"), allowed)
    assert not is_sendable(ipaddress.ip_address("10.9.3.4"), allowed)
    with pytest.raises(ConfigError, match="WEBHOOK_PRIVATE_NETWORKS"):
        networks_of("10.0.0.0/99")


def resolving_to(*addresses: str) -> Any:
    return lambda *_args, **_kwargs: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in addresses]


def test_one_private_address_among_public_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to("93.184.216.34", "127.0.0.1"))
    with pytest.raises(ConfigError, match="private address"):
        sendable_address("receiver.example", 443, ())


def test_the_connection_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    # A name that answers with an allowed address once, and with nothing that listens ever after.
    with receiving() as receiver:
        answers = iter([resolving_to("127.0.0.1")])
        real = socket.getaddrinfo

        def rebinding(host: str, *args: Any, **kwargs: Any) -> Any:
            if host == "receiver.example":
                return next(answers)(host)
            return real(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        url = receiver.url.replace("127.0.0.1", "receiver.example")
        assert Sender(5.0, networks_of("127.0.0.0/8")).post(url, b"{}", {"webhook-id": "msg_1"}).delivered
        assert receiver.received[0].headers["host"].startswith("receiver.example:")


def test_a_redirect_is_not_followed() -> None:
    with receiving() as receiver, receiving() as elsewhere:
        receiver.answers.append((307, {"Location": elsewhere.url}))
        answer = Sender(5.0, networks_of("127.0.0.0/8")).post(receiver.url, b"{}", {"webhook-id": "msg_1"})
        assert (answer.status, answer.delivered) == (307, False)
        assert not elsewhere.received


def test_a_loopback_receiver_is_not_connected_to_unless_it_is_allowed() -> None:
    with receiving() as receiver:
        answer = Sender(5.0).post(receiver.url, b"{}", {"webhook-id": "msg_1"})
        assert answer.status == 0
        assert "private address" in answer.said
        assert not receiver.received


@pytest.mark.parametrize(
    "url",
    ["ftp://host/x", "file:///etc/passwd", "https://", "host/path", "https://u:p@host/", "https://h/#f", "http://h:0/",
     "http://h:99999/"],
)  # fmt: skip
def test_only_plain_http_and_https_urls_are_taken(url: str) -> None:
    with pytest.raises(ConfigError):
        require_sendable(url)


def test_a_subscription_names_kinds_and_severities_there_are() -> None:
    Subscription("a", "https://h/", "a", ("s",), ("spike", "not_worn"), "warning")
    for wrong in ({"kinds": ("nothing",)}, {"least_severity": "loud"}, {"studies": ()}, {"name": "a b"}):
        with pytest.raises(ConfigError):
            Subscription(**{"name": "a", "url": "https://h/", "secret": "a", "studies": ("s",), **wrong})  # type: ignore[arg-type]


def test_waiting_times_grow_up_to_four_hours_and_are_spread() -> None:
    chance = random.Random(1)
    for attempts, longest_s in ((1, 5), (2, 20), (3, 80), (8, 4 * 3600), (1_000, 4 * 3600)):
        drawn = [retry_after_s(attempts, chance) for _ in range(200)]
        assert longest_s / 2 <= min(drawn) < longest_s * 0.6
        assert longest_s * 0.9 < max(drawn) <= longest_s


def test_what_is_kept_outlasts_what_the_log_keeps() -> None:
    from wearables_platform.clients.topics import RAW_TOPIC_CONFIG

    assert deliveries.KEPT.total_seconds() * 1_000 > int(RAW_TOPIC_CONFIG["retention.ms"])


def test_another_word_about_an_event_has_another_id_and_the_same_word_the_same() -> None:
    import json

    said = announcement_of(json.dumps(event("w", provisional=True, revision=1)).encode())
    later = announcement_of(json.dumps(event("w", provisional=True, revision=1, end_us=said.end_us + 1)).encode())
    final = announcement_of(json.dumps(event("w")).encode())
    assert message_id("a", said) == message_id("a", later)
    assert len({message_id("a", said), message_id("a", final), message_id("b", said)}) == 3
    assert json.loads(message_body(said, "p", "s"))["type"] == "anomaly.provisional"
    assert json.loads(message_body(final, "p", "s"))["type"] == "anomaly.final"


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"{}", b'{"device_id": 1}'])
def test_what_is_no_event_is_said_to_be_none(payload: bytes) -> None:
    with pytest.raises(WireError):
        announcement_of(payload)
