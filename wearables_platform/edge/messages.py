"""Messages a device makes: identity, channel and the exact bytes that travel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from wearables_platform.domain.channels import STATUS, VITALS, Channel
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.wire.v1 import telemetry_pb2 as pb


class EncodedMessage(NamedTuple):
    """One message as it travels; two equal ones are byte for byte the same."""

    channel: Channel
    identity: MessageIdentity
    payload: bytes
    start_us: int

    @property
    def topic(self) -> str:
        """The MQTT topic it is published on."""
        return self.channel.mqtt_topic(self.identity.device_id)


class HeartRateReading(NamedTuple):
    """One heart rate reading."""

    time_us: int
    bpm: float


class StepReading(NamedTuple):
    """Steps counted in [start, end)."""

    start_us: int
    end_us: int
    steps: int


class SensorReading(NamedTuple):
    """One number of a declared sensor type, in its unit; channel "" is the sensor's first."""

    sensor: str
    time_us: int
    value: float
    channel: str = ""


@dataclass(frozen=True)
class Vitals:
    """What one VitalsBatch carries."""

    heart_rate: tuple[HeartRateReading, ...] = ()
    steps: tuple[StepReading, ...] = ()
    vendor: Mapping[str, str] = field(default_factory=dict)
    readings: tuple[SensorReading, ...] = ()

    @property
    def start_us(self) -> int:
        """Time of the earliest reading."""
        times = [reading.time_us for reading in self.heart_rate] + [reading.start_us for reading in self.steps]
        times += [reading.time_us for reading in self.readings]
        if not times:
            msg = "a vitals message needs at least one reading"
            raise ValueError(msg)
        return min(times)


@dataclass(frozen=True)
class Status:
    """What one DeviceStatus says; unknown battery is -1."""

    battery_percent: float = -1.0
    worn: bool = True
    client_version: str = ""
    messages_produced: int = 0
    messages_dropped: Mapping[str, int] = field(default_factory=dict)
    acceleration_boot_id: int = 0
    source_rate_hz: float = 0.0
    target_rate_hz: float = 0.0
    blocks_per_message: int = 0
    device_model: str = ""
    firmware: str = ""


def encode_vitals(identity: MessageIdentity, vitals: Vitals, monotonic_us: int) -> EncodedMessage:
    """Write a VitalsBatch."""
    message = pb.VitalsBatch(
        device_id=identity.device_id,
        boot_id=identity.boot_id,
        sequence=identity.sequence,
        start_time_us=vitals.start_us,
        start_monotonic_us=monotonic_us,
        heart_rate=_heart_rates(vitals.heart_rate),
        steps=_step_counts(vitals.steps),
        vendor=vitals.vendor,
        readings=[pb.SensorReading(**reading._asdict()) for reading in vitals.readings],
    )
    return EncodedMessage(VITALS, identity, message.SerializeToString(deterministic=True), vitals.start_us)


def encode_status(identity: MessageIdentity, status: Status, start_us: int, monotonic_us: int) -> EncodedMessage:
    """Write a DeviceStatus."""
    message = pb.DeviceStatus(
        device_id=identity.device_id,
        boot_id=identity.boot_id,
        sequence=identity.sequence,
        start_time_us=start_us,
        start_monotonic_us=monotonic_us,
        **vars(status),
    )
    return EncodedMessage(STATUS, identity, message.SerializeToString(deterministic=True), start_us)


def _heart_rates(readings: Iterable[HeartRateReading]) -> list[pb.HeartRate]:
    return [pb.HeartRate(time_us=reading.time_us, bpm=reading.bpm) for reading in readings]


def _step_counts(readings: Iterable[StepReading]) -> list[pb.StepCount]:
    return [
        pb.StepCount(start_time_us=reading.start_us, end_time_us=reading.end_us, count=reading.steps)
        for reading in readings
    ]
