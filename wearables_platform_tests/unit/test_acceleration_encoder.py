"""Samples to messages: nothing depends on how the samples come, and every field says what happened to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.edge.acceleration import AccelerationEncoder, Sampling
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.errors import ConfigError
from wearables_platform.wire.codec import accel_values_g, decode
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = 1_774_742_400_000_000
RNG = np.random.default_rng(4)
SOURCE_G = (RNG.normal(0, 0.05, (16_000 * 2 + 777, 3)) + [0, 0, 1]).astype(np.float32)


def encode(accel_g: np.ndarray, sampling: Sampling, cuts: list[int]) -> list[EncodedMessage]:
    encoder = AccelerationEncoder("watch", 7, sampling)
    messages: list[EncodedMessage] = []
    for first, last in zip([0, *cuts], [*cuts, len(accel_g)], strict=True):
        since_us = round(first * 1e6 / sampling.source_rate_hz)
        messages += encoder.feed(accel_g[first:last], START_US + since_us, since_us)
    return messages + encoder.interrupt()


def opened(messages: list[EncodedMessage]) -> list[pb.AccelerationBatch]:
    return [pb.AccelerationBatch.FromString(message.payload) for message in messages]


@settings(max_examples=20)
@given(st.lists(st.integers(0, len(SOURCE_G)), max_size=8), st.integers(1, 4))
def test_bytes_do_not_depend_on_the_chunks(cuts: list[int], blocks: int) -> None:
    sampling = Sampling(16_000.0, blocks_per_message=blocks)
    assert encode(SOURCE_G, sampling, sorted(cuts)) == encode(SOURCE_G, sampling, [])


def test_every_message_is_valid_and_holds_the_block_means() -> None:
    messages = encode(SOURCE_G, Sampling(16_000.0), [5_000])
    decoded = decode(ACCELERATION, [message.payload for message in messages])
    assert decoded.rejected == ()
    samples_g, counts = accel_values_g(decoded.rows)
    whole = len(SOURCE_G) // 160
    assert counts.sum() == whole
    np.testing.assert_allclose(samples_g, SOURCE_G[: whole * 160].reshape(-1, 160, 3).mean(1), atol=1e-6)
    assert decoded.rows.column("sequence").to_pylist() == list(range(len(messages)))
    starts = decoded.rows.column("start_time_us").to_numpy()
    assert (np.diff(starts) == 100_000).all()
    assert starts[0] == START_US


def test_what_averaging_hides_travels_beside_the_means() -> None:
    source_g = SOURCE_G.copy()
    source_g[1_600 + 50, 0] = 15.95  # one wrong sample in the second block, at the end of the range
    plain, hit, *_ = opened(encode(source_g, Sampling(16_000.0), []))
    assert (list(plain.glitches), list(plain.clipped)) == ([0], [0])
    assert (list(hit.glitches), list(hit.clipped)) == ([1], [1])
    assert hit.peak_raw_g[0] > 15
    assert hit.peak_g[0] < 2
    assert (hit.rate_hz, hit.source_rate_hz, hit.downsampling) == (100.0, 16_000.0, pb.DOWNSAMPLING_BLOCK_MEAN)


@pytest.mark.parametrize("rate_hz", [32.0, 50.0, 104.3, 198.6])
def test_rates_near_the_target_pass_untouched(rate_hz: float) -> None:
    messages = opened(encode(SOURCE_G[:1_000], Sampling(rate_hz), [333]))
    sent_g = np.concatenate([np.frombuffer(message.samples, "<f4").reshape(-1, 3) for message in messages])
    np.testing.assert_array_equal(sent_g, SOURCE_G[:1_000])
    assert {message.rate_hz for message in messages} == {rate_hz}
    assert {message.downsampling for message in messages} == {pb.DOWNSAMPLING_NONE}
    assert all(len(message.glitches) == 0 for message in messages)


def test_blocks_of_a_message_are_of_one_length_even_at_the_end() -> None:
    *whole, last = opened(encode(SOURCE_G[: 16_000 + 800], Sampling(16_000.0, blocks_per_message=4), []))
    assert [message.block_count for message in whole] == [4, 4, 2]
    assert (last.block_count, len(last.samples) // 12) == (1, 5)


def test_a_step_of_the_wall_clock_shows_at_the_next_message() -> None:
    encoder = AccelerationEncoder("watch", 7, Sampling(100.0))
    accel_g = SOURCE_G[:100]
    messages = encoder.feed(accel_g[:50], START_US, 0)
    messages += encoder.feed(accel_g[50:], START_US + 500_000 + 30_000_000, 500_000)
    differences = [message.start_time_us - message.start_monotonic_us - START_US for message in opened(messages)]
    assert differences == [0] * 5 + [30_000_000] * 5


def test_after_an_interruption_time_begins_anew_and_the_sequence_goes_on() -> None:
    encoder = AccelerationEncoder("watch", 7, Sampling(100.0))
    messages = encoder.feed(SOURCE_G[:14], START_US, 0) + encoder.interrupt()
    messages += encoder.feed(SOURCE_G[:10], START_US + 9_000_000, 9_000_000)
    found = [(m.sequence, m.start_time_us - START_US, len(m.samples) // 12) for m in opened(messages)]
    assert found == [(0, 0, 10), (1, 100_000, 4), (2, 9_000_000, 10)]


def test_int16_halves_the_bytes_at_the_stated_resolution() -> None:
    (message,) = opened(encode(SOURCE_G[:10], Sampling(100.0, encoding="int16"), []))
    values_g = np.frombuffer(message.samples, "<i2").reshape(-1, 3) * np.float64(message.scale_g)
    np.testing.assert_allclose(values_g, SOURCE_G[:10], atol=16.0 / 32_767)
    assert len(message.samples) == 60


@pytest.mark.parametrize("wrong", [{"blocks_per_message": 0}, {"encoding": "float16"}])
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Sampling(100.0, **wrong)  # type: ignore[arg-type]
