"""Device messages for tests: small, valid, deterministic."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from wearables_platform.domain.channels import ACCELERATION, STATUS, VITALS, Channel
from wearables_platform.domain.time_policy import to_us
from wearables_platform.wire.codec import DeviceMessage, encode_samples_float32
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = to_us(datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
BLOCK_US = 100_000
BOOT = 0x1234_5678_9ABC_DEF0


def acceleration(
    device_id: str, sequence: int, *, boot_id: int = BOOT, start_us: int | None = None, level_g: float = 1.0
) -> bytes:
    """One block of 100 ms at 100 Hz of a watch lying still, `level_g` on z."""
    accel_g = np.zeros((10, 3))
    accel_g[:, 2] = level_g + np.arange(10) / 1_000
    message = pb.AccelerationBatch(
        device_id=device_id,
        boot_id=boot_id,
        sequence=sequence,
        start_time_us=START_US + sequence * BLOCK_US if start_us is None else start_us,
        start_monotonic_us=sequence * BLOCK_US,
        rate_hz=100.0,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=encode_samples_float32(accel_g),
        source_rate_hz=100.0,
        downsampling=pb.DOWNSAMPLING_NONE,
        block_count=1,
    )
    return written(message)


def vitals(
    device_id: str, sequence: int, *, boot_id: int = BOOT + 1, bpm: float = 61.5, vendor: dict[str, str] | None = None
) -> bytes:
    """One minute: a heart rate and 12 steps."""
    start_us = START_US + sequence * 60_000_000
    message = pb.VitalsBatch(
        device_id=device_id,
        boot_id=boot_id,
        sequence=sequence,
        start_time_us=start_us,
        start_monotonic_us=sequence * 60_000_000,
        heart_rate=[pb.HeartRate(time_us=start_us, bpm=bpm)],
        steps=[pb.StepCount(start_time_us=start_us, end_time_us=start_us + 60_000_000, count=12)],
        vendor=vendor or {},
    )
    return written(message)


def status(device_id: str, sequence: int, *, boot_id: int = BOOT + 2) -> bytes:
    """A device that says it is well."""
    message = pb.DeviceStatus(
        device_id=device_id,
        boot_id=boot_id,
        sequence=sequence,
        start_time_us=START_US + sequence * 60_000_000,
        battery_percent=80,
        worn=True,
        client_version="test",
    )
    return written(message)


def written(message: DeviceMessage) -> bytes:
    """Write a message the way the thin client does."""
    return message.SerializeToString(deterministic=True)


MAKERS = {ACCELERATION.name: acceleration, VITALS.name: vitals, STATUS.name: status}


def make(channel: Channel, device_id: str, sequence: int) -> bytes:
    """Any message of a channel."""
    return MAKERS[channel.name](device_id, sequence)
