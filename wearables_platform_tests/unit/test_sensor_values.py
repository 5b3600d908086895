"""Newest values of declared sensor types: the newest believable reading per device and channel, in any order."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.decode import decode_fetch
from stream.sensor_values import latest_of_sensors
from wearables_platform.api.latest import latest_values
from wearables_platform.clients.latest import newest_values, unpacked
from wearables_platform.domain.channels import VITALS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.domain.time_policy import from_us
from wearables_platform.edge.messages import SensorReading, Vitals, encode_vitals
from wearables_platform_tests.batch_world import MIDNIGHT_US, Log

TYPES = (
    SensorType(name="skin", title="Skin", unit="Cel", low=15, high=45, rate_per_hour=60, owner="team:a"),
    SensorType(
        name="ppg", title="PPG", unit="1", low=0, high=9, rate_per_hour=60, owner="team:a", channels=("red", "green")
    ),
)
MINUTE_US = 60_000_000


def shown(*messages: tuple[SensorReading, ...], append_us: int = MIDNIGHT_US) -> dict[str, dict[str, str]]:
    """What a fetch of these messages of one device leaves for Redis, by group."""
    log = Log(VITALS)
    for number, readings in enumerate(messages):
        payload = encode_vitals(MessageIdentity("w-1", 7, number), Vitals(readings=readings), 0).payload
        log.add(append_us, "w-1", payload)
    fetched = decode_fetch(VITALS, log.fetch(), 0)
    assert not fetched.dead_letters
    assert not len(fetched.quarantined)
    batches = latest_of_sensors(fetched.messages, np.ones(len(fetched.messages), bool), TYPES)
    return {group: unpacked(values["w-1"]) for group, values in newest_values(batches).items()}


def test_the_newest_believable_reading_of_each_channel_is_shown() -> None:
    at_us = MIDNIGHT_US - 10 * MINUTE_US
    found = shown(
        (
            SensorReading("skin", at_us + MINUTE_US, 33.25, "value"),
            SensorReading("skin", at_us, 31.0),
            SensorReading("ppg", at_us, 3.5),
            SensorReading("ppg", at_us + 1, 4.5, "green"),
        ),
        (SensorReading("skin", at_us - MINUTE_US, 30.0),),
    )
    skin = "sensor:skin:value"
    assert found[skin] == {skin: "33.25", f"{skin}:time_us": str(at_us + MINUTE_US), f"{skin}:unit": "Cel"}
    assert float(found["sensor:ppg:red"]["sensor:ppg:red"]) == 3.5
    assert float(found["sensor:ppg:green"]["sensor:ppg:green"]) == 4.5


@pytest.mark.parametrize(
    "reading",
    [
        SensorReading("skin", MIDNIGHT_US, 45.5),
        SensorReading("skin", MIDNIGHT_US, math.nan),
        SensorReading("skin", MIDNIGHT_US, 30.0, "elbow"),
        SensorReading("skin", MIDNIGHT_US + 400 * 86_400_000_000, 30.0),
        SensorReading("never_declared", MIDNIGHT_US, 30.0),
    ],
)
def test_what_cleaning_would_set_aside_is_not_shown(reading: SensorReading) -> None:
    good = SensorReading("skin", MIDNIGHT_US - MINUTE_US, 29.0)
    found = shown((good, reading))
    assert list(found) == ["sensor:skin:value"]
    assert found["sensor:skin:value"]["sensor:skin:value"] == "29"


def test_the_api_shows_each_channel_with_unit_and_time() -> None:
    found = shown((SensorReading("skin", MIDNIGHT_US, 33.25), SensorReading("ppg", MIDNIGHT_US - 1, 3.5)))
    raw = {name: text for fields in found.values() for name, text in fields.items()}
    latest = latest_values("w-1", raw, from_us(MIDNIGHT_US + 2_000_000))
    assert [(each.sensor, each.channel, each.value, each.unit) for each in latest.sensors] == [
        ("ppg", "red", 3.5, "1"),
        ("skin", "value", 33.25, "Cel"),
    ]
    assert latest.event_time == latest.sensors[1].time == from_us(MIDNIGHT_US)
    assert latest.freshness == "live"
    assert latest_values("w-1", {}, from_us(MIDNIGHT_US)).sensors == []


def test_messages_without_readings_leave_nothing() -> None:
    from wearables_platform_tests.messages import vitals

    log = Log(VITALS)
    log.add(MIDNIGHT_US, "w-1", vitals("w-1", 0))
    fetched = decode_fetch(VITALS, log.fetch(), 0)
    assert latest_of_sensors(fetched.messages, np.ones(len(fetched.messages), bool), TYPES) == []
