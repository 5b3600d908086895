"""What an MQTT connection keeps, without a broker."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.clients.mqtt_session import AckQueue, Backoff, parse_mqtt_url
from wearables_platform.errors import ConfigError


@given(st.permutations(range(1, 30)), st.integers(1, 7))
def test_acknowledgements_keep_the_order_of_receipt_whatever_is_done_first(order: list[int], size: int) -> None:
    acks = AckQueue()
    acks.begin(1)
    for packet_id in range(1, 30):
        acks.received(packet_id)
    acknowledged: list[int] = []
    done: set[int] = set()
    for at in range(0, len(order), size):
        done.update(order[at : at + size])
        acknowledged += acks.done(1, order[at : at + size])
        longest = next((i for i in range(1, 31) if i not in done), 31) - 1
        assert acknowledged == list(range(1, longest + 1))
    assert len(acks) == 0


def test_what_an_earlier_session_left_is_forgotten() -> None:
    acks = AckQueue()
    acks.begin(1)
    acks.received(7)
    acks.begin(2)
    acks.received(7)
    assert acks.done(1, [7]) == []
    assert acks.done(2, [7]) == [7]


def test_a_packet_id_may_be_used_again_after_its_acknowledgement() -> None:
    acks = AckQueue()
    acks.begin(1)
    for _ in range(3):
        acks.received(1)
        assert acks.done(1, [1]) == [1]


def test_waits_double_up_to_a_limit_and_are_never_all_alike() -> None:
    backoff = Backoff(0.2, 15.0, random.Random(1))
    waits = [backoff.next_s() for _ in range(12)]
    ceilings = [min(15.0, 0.2 * 2**i) for i in range(12)]
    assert all(ceiling / 2 <= wait <= ceiling for wait, ceiling in zip(waits, ceilings, strict=True))
    assert len(set(waits[8:])) == 4
    backoff.reset()
    assert backoff.next_s() <= 0.2


def test_a_url_says_how_to_connect() -> None:
    options = parse_mqtt_url("mqtts://u%40x:p%2Fw@host/?protocol=5&clean=0&client_id=b-2&share=g&receive_maximum=7")
    assert (options.host, options.port, options.tls) == ("host", 8883, True)
    assert (options.username, options.password, options.client_id) == ("u@x", "p/w", "b-2")
    assert (options.protocol, options.clean, options.receive_maximum) == ("5", False, 7)
    assert options.filter_for("a/+/b") == "$share/g/a/+/b"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://host", "mqtt://"),
        ("mqtt://host?protocl=5", "protocl"),
        ("mqtt://host?protocol=3", "protocol"),
        ("mqtt://host?keepalive_s=long", "keepalive_s"),
        ("mqtt://host?clean=0", "client id"),
    ],
)
def test_a_wrong_url_is_named(url: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_mqtt_url(url)
