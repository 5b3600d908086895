"""A recording gives the same rows whether the device reduces it or the platform does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.edge.acceleration import AccelerationEncoder, Sampling
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import compute_windows
from wearables_platform.wire.codec import accel_values_g, decode
from wearables_platform.wire.raw_rates import at_platform_rate
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform_tests.messages import START_US
from wearables_platform_tests.simulated_motion import add_glitches, add_pulses, walking

COLUMNS = ("start_time_us", "rate_hz", "samples", "block_count", "peak_raw_g", "peak_g", "glitches", "clipped")


def recording(seed: int, seconds: float, rate_hz: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    accel_g, _ = add_pulses(walking(rng, seconds, rate_hz), rng, rate_hz, count=2)
    return add_glitches(accel_g, rng, rng.integers(0, len(accel_g), 40), 0.2, 30.0).astype(np.float32)


def sent(accel_g: np.ndarray, sampling: Sampling) -> pa.RecordBatch:
    encoder = AccelerationEncoder("device", 1, sampling)
    messages = [*encoder.feed(accel_g, START_US, 0), *encoder.interrupt()]
    decoded = decode(ACCELERATION, [message.payload for message in messages])
    assert not decoded.rejected
    return decoded.rows


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate_hz=st.sampled_from([16_000.0, 4_000.0, 400.0, 200.0]),
    blocks=st.integers(1, 3),
    range_g=st.sampled_from([0.0, 8.0, 16.0]),
)
def test_device_stream_and_batch_reduce_to_the_same_bits(
    seed: int, rate_hz: float, blocks: int, range_g: float
) -> None:
    accel_g = recording(seed, 4.5, rate_hz)
    by_device = sent(accel_g, Sampling(rate_hz, blocks_per_message=blocks, range_g=range_g))
    as_sampled = sent(accel_g, Sampling(rate_hz, rate_hz, blocks_per_message=blocks, range_g=range_g))
    by_platform = at_platform_rate(as_sampled)
    for name in COLUMNS:
        assert by_platform.column(name).equals(by_device.column(name)), name
    rows = [compute_windows(samples_from_messages(each).samples) for each in (by_device, as_sampled)]
    for column in FEATURE_COLUMNS:
        assert rows[0][column.name].tobytes() == rows[1][column.name].tobytes(), column.name


def test_messages_of_all_kinds_keep_their_order_and_the_reduced_ones_their_bytes() -> None:
    slow, fast = recording(1, 3.0, 100.0), recording(2, 3.0, 1_000.0)
    kinds = [
        sent(slow, Sampling(100.0)),
        sent(fast, Sampling(1_000.0, 1_000.0)),
        sent(fast, Sampling(1_000.0, 1_000.0, encoding="int16", blocks_per_message=2)),
        sent(fast, Sampling(1_000.0, 500.0)),  # reduced at its source, to a rate of its own choice
    ]
    mixed = pa.Table.from_batches(kinds).combine_chunks().to_batches()[0]
    order = np.random.default_rng(3).permutation(len(mixed))
    mixed = mixed.take(pa.array(order))
    reduced = at_platform_rate(mixed)
    assert reduced.column("start_time_us").equals(mixed.column("start_time_us"))
    assert sorted(set(reduced.column("rate_hz").to_pylist())) == [100.0, 500.0]
    whole = pa.Table.from_batches([at_platform_rate(kind) for kind in kinds]).combine_chunks().to_batches()[0]
    for name in COLUMNS:
        assert reduced.column(name).equals(whole.take(pa.array(order)).column(name)), name
    assert at_platform_rate(reduced) is reduced
    assert at_platform_rate(kinds[0]) is kinds[0]


@pytest.mark.parametrize(("samples", "expected"), [(1, 1), (159, 1), (160, 1), (319, 1), (320, 2), (1_599, 9)])
def test_the_rest_of_a_message_is_dropped_unless_it_is_all_there_is(samples: int, expected: int) -> None:
    accel_g = np.tile(np.array([0.0, 0.0, 1.0], np.float32), (samples, 1))
    rows = sent(accel_g, Sampling(16_000.0, 16_000.0, blocks_per_message=2))
    reduced_g, counts = accel_values_g(at_platform_rate(rows))
    assert counts.tolist() == [expected]
    assert reduced_g.tolist() == [[0.0, 0.0, 1.0]] * expected
