"""Payloads become columns, or a named reason; one bad payload never costs its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.domain.channels import ACCELERATION, CHANNELS, STATUS, VITALS
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import WireError
from wearables_platform.wire import codec
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = 1_774_742_400_000_000
XYZ = np.linspace(-2, 2, 30).reshape(10, 3)


def acceleration(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "device_id": "watch-1",
        "boot_id": 7,
        "start_time_us": START_US,
        "rate_hz": 100.0,
        "encoding": pb.SAMPLE_ENCODING_FLOAT32_G,
        "samples": codec.encode_samples_float32(XYZ),
    }
    return pb.AccelerationBatch(**{**fields, **changes}).SerializeToString()  # type: ignore[arg-type]


def vitals(**changes: object) -> bytes:
    return pb.VitalsBatch(**{"device_id": "w", "boot_id": 1, "start_time_us": START_US, **changes}).SerializeToString()  # type: ignore[arg-type]


BAD = {
    "empty": (b"", DeadLetterReason.EMPTY),
    "too large": (b"\0" * 300_000, DeadLetterReason.TOO_LARGE),
    "no protobuf": (b"\xff" * 9, DeadLetterReason.UNDECODABLE),
    "truncated": (acceleration()[:-3], DeadLetterReason.UNDECODABLE),
    "id not UTF-8": (b"\x0a\x02\xff\xfe", DeadLetterReason.UNDECODABLE),
    "huge length prefix": (b"\x0a\xff\xff\xff\x7f", DeadLetterReason.UNDECODABLE),
    "length that wraps around": (b"\x0a" + b"\xff" * 9 + b"\x01", DeadLetterReason.UNDECODABLE),
    "wildcard in the id": (acceleration(device_id="a/#"), DeadLetterReason.BAD_DEVICE_ID),
    "line break after the id": (acceleration(device_id="a\n"), DeadLetterReason.BAD_DEVICE_ID),
    "no id": (acceleration(device_id=""), DeadLetterReason.BAD_DEVICE_ID),
    "no boot": (acceleration(boot_id=0), DeadLetterReason.BAD_IDENTITY),
    "boot of 64 bits": (acceleration(boot_id=2**63), DeadLetterReason.BAD_IDENTITY),
    "sequence of 64 bits": (acceleration(sequence=2**63), DeadLetterReason.BAD_IDENTITY),
    "year 146,000": (acceleration(start_time_us=2**62), DeadLetterReason.BAD_IDENTITY),
    "no encoding": (acceleration(encoding=0), DeadLetterReason.BAD_ENCODING),
    "int16 without scale": (acceleration(encoding=2), DeadLetterReason.BAD_ENCODING),
    "scale NaN": (acceleration(encoding=2, scale_g=float("nan")), DeadLetterReason.BAD_ENCODING),
    "no samples": (acceleration(samples=b""), DeadLetterReason.BAD_SAMPLES),
    "half a triple": (acceleration(samples=b"\0" * 18), DeadLetterReason.BAD_SAMPLES),
    "no rate": (acceleration(rate_hz=0), DeadLetterReason.BAD_RATE),
    "rate NaN": (acceleration(rate_hz=float("nan")), DeadLetterReason.BAD_RATE),
    "rate inf": (acceleration(rate_hz=float("inf")), DeadLetterReason.BAD_RATE),
    "source rate NaN": (acceleration(source_rate_hz=float("nan")), DeadLetterReason.BAD_RATE),
    "lists of other lengths": (acceleration(block_count=2, peak_g=[1.0]), DeadLetterReason.BAD_BLOCKS),
    "more blocks than samples": (acceleration(block_count=11), DeadLetterReason.BAD_BLOCKS),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_payload_is_named_and_its_neighbours_survive(case: str) -> None:
    payload, reason = BAD[case]
    decoded = codec.decode(ACCELERATION, [acceleration(sequence=0), payload, acceleration(sequence=2)])
    assert [(bad.position, bad.reason) for bad in decoded.rejected] == [(1, reason)]
    assert decoded.index.tolist() == [0, 2]
    assert decoded.rows.column("sequence").to_pylist() == [0, 2]
    with pytest.raises(WireError, match=reason):
        codec.decode_one(ACCELERATION, payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (vitals(steps=[pb.StepCount(start_time_us=5, end_time_us=5, count=1)]), DeadLetterReason.BAD_READING),
        (vitals(heart_rate=[pb.HeartRate(time_us=2**62, bpm=60)]), DeadLetterReason.BAD_READING),
        (vitals(vendor={str(i): "" for i in range(65)}), DeadLetterReason.BAD_READING),
        (vitals(readings=[pb.SensorReading(sensor="", time_us=1)]), DeadLetterReason.BAD_READING),
        (vitals(readings=[pb.SensorReading(sensor="Skin", time_us=1)]), DeadLetterReason.BAD_READING),
        (vitals(readings=[pb.SensorReading(sensor="a" * 64, time_us=1)]), DeadLetterReason.BAD_READING),
        (vitals(readings=[pb.SensorReading(sensor="a", channel="x-y", time_us=1)]), DeadLetterReason.BAD_READING),
        (vitals(readings=[pb.SensorReading(sensor="a", time_us=2**62)]), DeadLetterReason.BAD_READING),
        (vitals(readings=[pb.SensorReading(sensor="a", time_us=1)] * 10_001), DeadLetterReason.BAD_READING),
    ],
)
def test_a_vitals_batch_with_an_impossible_reading_is_refused_as_a_whole(payload: bytes, reason: str) -> None:
    strange = pb.SensorReading(sensor="never_heard_of", time_us=START_US, value=float("nan"))
    good = vitals(heart_rate=[pb.HeartRate(time_us=START_US, bpm=-5)], vendor={"spo2": "97"}, readings=[strange])
    decoded = codec.decode(VITALS, [good, payload, vitals()])
    assert [(bad.position, bad.reason) for bad in decoded.rejected] == [(1, reason)]


@pytest.mark.parametrize(("battery", "ok"), [(-1, True), (0, True), (100, True), (101, False), (float("nan"), False)])
def test_battery_is_a_percentage_or_minus_one(battery: float, ok: bool) -> None:
    payload = pb.DeviceStatus(device_id="w", boot_id=1, battery_percent=battery).SerializeToString()
    assert (not codec.decode(STATUS, [payload]).rejected) is ok


def test_samples_come_back_as_they_were_sent_in_one_buffer() -> None:
    rows = codec.decode(ACCELERATION, [acceleration(sequence=i) for i in range(5)]).rows
    accel_g, counts = codec.accel_values_g(rows)
    np.testing.assert_array_equal(accel_g, np.tile(XYZ.astype(np.float32), (5, 1)))
    assert counts.tolist() == [10] * 5
    part, counts = codec.accel_values_g(rows.slice(1, 2))
    np.testing.assert_array_equal(part, np.tile(XYZ.astype(np.float32), (2, 1)))
    assert counts.tolist() == [10, 10]


def test_int16_and_float_messages_mix() -> None:
    scaled = acceleration(encoding=2, scale_g=0.001, samples=codec.encode_samples_int16(XYZ, 0.001))
    accel_g, counts = codec.accel_values_g(codec.decode(ACCELERATION, [acceleration(), scaled]).rows)
    np.testing.assert_allclose(accel_g[:10], XYZ, rtol=1e-6)
    np.testing.assert_allclose(accel_g[10:], XYZ, atol=0.0005001)
    assert counts.tolist() == [10, 10]


def test_int16_saturates_instead_of_wrapping() -> None:
    assert np.frombuffer(codec.encode_samples_int16(np.array([[99.0, -99.0, 0.0]]), 0.001), "<i2").tolist() == [
        32767,
        -32768,
        0,
    ]


def test_nothing_in_gives_no_rows() -> None:
    for channel in CHANNELS:
        assert codec.decode(channel, []).rows.num_rows == 0
    assert codec.accel_values_g(codec.decode(ACCELERATION, []).rows)[0].shape == (0, 3)


@given(st.lists(st.one_of(st.binary(max_size=200), st.just(acceleration())), max_size=20))
def test_every_input_is_a_row_or_a_rejection_never_both_and_never_a_crash(payloads: list[bytes]) -> None:
    for channel in CHANNELS:
        decoded = codec.decode(channel, payloads)
        positions = sorted([*decoded.index.tolist(), *(bad.position for bad in decoded.rejected)])
        assert positions == list(range(len(payloads)))


@given(st.binary(min_size=1, max_size=60), st.integers(0, 10_000))
def test_a_flipped_byte_never_crashes_the_decoder(noise: bytes, place: int) -> None:
    payload = bytearray(acceleration())
    start = place % len(payload)
    payload[start : start + len(noise)] = noise
    codec.decode(ACCELERATION, [bytes(payload), acceleration()])


class CountingHandler:
    """The fast decoder, and how often and with how many payloads it was called."""

    def __init__(self, handler: object) -> None:
        self.handler, self.batches = handler, []

    def list_to_record_batch(self, payloads: list[bytes]) -> object:
        self.batches.append(len(payloads))
        return self.handler.list_to_record_batch(payloads)  # type: ignore[attr-defined]


def test_ten_in_a_hundred_bad_payloads_cost_one_more_pass_and_not_one_call_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting = CountingHandler(codec._handlers[ACCELERATION.name])
    monkeypatch.setitem(codec._handlers, ACCELERATION.name, counting)
    random = np.random.default_rng(1)
    payloads = [acceleration(sequence=i) for i in range(2_000)]
    bad = sorted(random.choice(2_000, 200, replace=False).tolist())
    for n, i in enumerate(bad):
        kinds = (b"\xff" + random.bytes(100), payloads[i][:-5], acceleration(rate_hz=float("nan")))
        payloads[i] = kinds[n % 3]
    decoded = codec.decode(ACCELERATION, payloads)
    assert [rejected.position for rejected in decoded.rejected] == bad
    undecodable = sum(rejected.reason == DeadLetterReason.UNDECODABLE for rejected in decoded.rejected)
    assert sorted(counting.batches)[-2:] == [2_000 - undecodable, 2_000]  # all, which fails at once; then the good ones
    assert len(counting.batches) <= 2 + 2 * undecodable  # a call that fails stops at its first payload
    whole = codec.decode(ACCELERATION, [payload for i, payload in enumerate(payloads) if i not in set(bad)])
    assert decoded.rows.equals(whole.rows)


def test_what_only_the_fast_decoder_refuses_is_found_by_bisection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_suspects", lambda *_: [])
    payloads = [acceleration(sequence=i) for i in range(256)]
    payloads[77] = payloads[77][:-3]
    counting = CountingHandler(codec._handlers[ACCELERATION.name])
    monkeypatch.setitem(codec._handlers, ACCELERATION.name, counting)
    decoded = codec.decode(ACCELERATION, payloads)
    assert [(bad.position, bad.reason) for bad in decoded.rejected] == [(77, DeadLetterReason.UNDECODABLE)]
    assert decoded.index.tolist() == [i for i in range(256) if i != 77]
    assert len(counting.batches) <= 2 + 2 * 8 + 2


def test_the_decoder_demands_the_fast_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    from wearables_platform.errors import ConfigError

    codec.require_fast_protobuf()
    monkeypatch.setattr(codec.api_implementation, "Type", lambda: "python")
    with pytest.raises(ConfigError, match="upb"):
        codec.require_fast_protobuf()
