"""Large samples lifted past the decoder: the same rows and the same verdicts, whatever the bytes are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire import codec, large_samples
from wearables_platform.wire.codec import Decoded, decode
from wearables_platform.wire.large_samples import LARGE_BYTES, lift_samples
from wearables_platform.wire.v1 import telemetry_pb2 as pb

SAMPLES_TAG = bytes([pb.AccelerationBatch.DESCRIPTOR.fields_by_name["samples"].number << 3 | 2])


def message(number: int, samples: int = 1_600, **changed: object) -> bytes:
    accel_g = np.random.default_rng(number).normal(0, 1, (samples, 3)).astype("<f4")
    fields: dict[str, object] = {
        "device_id": f"watch-{number}", "boot_id": 2**62 + number, "sequence": number, "start_time_us": -number,
        "start_monotonic_us": -1, "rate_hz": 16_000.0, "encoding": pb.SAMPLE_ENCODING_FLOAT32_G,
        "samples": accel_g.tobytes(), "block_count": 1, "peak_g": [1.5], "glitches": [3],
    }  # fmt: skip
    return pb.AccelerationBatch(**(fields | changed)).SerializeToString()  # type: ignore[arg-type]


def as_they_are(payloads: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Decoded:
    with monkeypatch.context() as patch:
        patch.setattr(codec, "lift_samples", lambda _payloads: None)
        return decode(ACCELERATION, payloads)


def require_same(found: Decoded, expected: Decoded) -> None:
    assert found.rows.equals(expected.rows)
    assert found.rows.schema == expected.rows.schema
    assert found.index.tolist() == expected.index.tolist()
    assert found.rejected == expected.rejected


def test_large_messages_are_lifted_and_give_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = [message(i, 1_600 + i) for i in range(50)]
    lifted = lift_samples(payloads)
    assert lifted is not None
    assert max(map(len, lifted.rests)) < 100
    found = decode(ACCELERATION, payloads)
    require_same(found, as_they_are(payloads, monkeypatch))
    accel_g, counts = codec.accel_values_g(found.rows)
    assert counts.tolist() == [1_600 + i for i in range(50)]
    assert accel_g[:1_600].tobytes() == np.random.default_rng(0).normal(0, 1, (1_600, 3)).astype("<f4").tobytes()


def test_small_messages_are_left_to_the_decoder() -> None:
    assert lift_samples([message(1, 10)]) is None
    assert lift_samples([]) is None
    assert lift_samples([message(1, LARGE_BYTES)]) is not None


WELL = message(1)
HEAD = pb.AccelerationBatch(device_id="w" * 64, boot_id=1, sequence=2).SerializeToString()
ODD = {
    "samples twice: the last counts": WELL + SAMPLES_TAG + b"\x0c" + b"\0" * 12,
    "no samples, but as large": message(1, 0) + b"\x82\x7d\xff\x7f" + b"\0" * 16_383,
    "cut in the samples": WELL[:5_000],
    "cut behind the samples": WELL[:-1],
    "samples longer than the message": HEAD + SAMPLES_TAG + b"\xff\xff\x7f" + b"\0" * 9_000,
    "samples longer than anything": HEAD + SAMPLES_TAG + b"\xff" * 9 + b"\x01" + b"\0" * 9_000,
    "samples as a number": WELL + bytes([SAMPLES_TAG[0] & ~7]) + b"\x05",
    "a group": WELL + b"\xa3\x06\xa4\x06",
    "a field with number 0": WELL + b"\x00\x01",
    "a tag that never ends": WELL + b"\xff" * 12,
    "a number of eleven bytes": WELL + b"\x10" + b"\xff" * 10 + b"\x01",
    "a name that is no text": b"\x0a\x02\xff\xfe" + WELL,
    "samples far from the beginning": b"\x82\x7d\xac\x02" + b"\0" * 300 + WELL,
    "a field nobody knows, ten bytes long": WELL + b"\xa0\x06" + b"\xff" * 9 + b"\x01",
    "fixed fields nobody knows": b"\xa1\x06" + b"\7" * 8 + WELL + b"\xa5\x06" + b"\7" * 4,
    "a fixed field cut short": WELL + b"\xa1\x06" + b"\7" * 7,
    "only ones": b"\xff" * 9_000,
    "only zeros": b"\0" * 9_000,
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_message_among_others_has_the_verdict_of_the_decoder(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = [message(2), ODD[what], message(3)]
    require_same(decode(ACCELERATION, payloads), as_they_are(payloads, monkeypatch))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_of_the_bytes_gives_what_the_decoder_gives(data: st.DataObject) -> None:
    payloads = [message(i, data.draw(st.integers(1, 60))) for i in range(3)]
    for _ in range(data.draw(st.integers(1, 4))):
        which = data.draw(st.integers(0, 2))
        at = data.draw(st.integers(0, len(payloads[which])))
        until = min(at + data.draw(st.integers(0, 12)), len(payloads[which]))
        payloads[which] = payloads[which][:at] + data.draw(st.binary(max_size=12)) + payloads[which][until:]
    lifted = lift_samples(payloads, large_bytes=0)
    if lifted is None:
        return
    found, expected = decoded_or_none(lifted.rests), decoded_or_none(payloads)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert written(lifted.put_into(found)) == written(expected)  # as bytes, so that NaN equals itself


def decoded_or_none(payloads: list[bytes]) -> pa.RecordBatch | None:
    try:
        return codec._decoded(codec._handlers[ACCELERATION.name], payloads)
    except ValueError:
        return None


def written(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return bytes(sink.getvalue().to_pybytes())


def test_the_head_is_larger_than_what_clients_write_before_the_samples() -> None:
    longest = message(1, device_id="w" * 64, boot_id=2**63 - 1, sequence=2**63 - 1, start_time_us=-1)
    assert longest.index(np.random.default_rng(1).normal(0, 1, (1_600, 3)).astype("<f4").tobytes()[:24]) < (
        large_samples.HEAD_BYTES - 20
    )
