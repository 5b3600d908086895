"""A window row, and an event, is a pure function of its window's samples and their halo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.signals.events import EventRows, spike_events
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import (
    FEATURE_COLUMNS,
    HALO_AFTER_US,
    HALO_BEFORE_US,
    WINDOW_US,
    WindowRows,
    compute_windows,
    window_start_us,
)
from wearables_platform_tests.simulated_motion import rough_device

SECONDS = 14.0
ORIGIN_US = 1_700_000_000_000_000
seeds = st.integers(0, 2**32 - 1)


def rough_fleet(seed: int, devices: int = 3) -> SampleTable:
    rng = np.random.default_rng(seed)
    origins = ORIGIN_US + rng.integers(-3_000_000, 3_000_000, devices)
    return SampleTable.concat([rough_device(rng, n, SECONDS, int(origins[n])) for n in range(devices)])


def halo_of(samples: SampleTable, device: int, start_us: int) -> SampleTable:
    low, high = start_us - HALO_BEFORE_US, start_us + WINDOW_US + HALO_AFTER_US
    return samples.take((samples.device == device) & (samples.time_us >= low) & (samples.time_us < high))


def assert_same_rows(left: WindowRows, right: WindowRows) -> None:
    assert left.device.tolist() == right.device.tolist()
    assert left.start_us.tolist() == right.start_us.tolist()
    for column in FEATURE_COLUMNS:
        a, b = left[column.name], right[column.name]
        assert a.dtype == b.dtype == np.dtype(column.dtype)
        assert a.tobytes() == b.tobytes(), (column.name, a[a != b], b[a != b])


def events_in_window(samples: SampleTable, device: int, start_us: int) -> list[tuple[float, ...]]:
    events = spike_events(samples)
    inside = (events.device == device) & (window_start_us(events.start_us) == start_us)
    return as_tuples(events.take(inside))


def as_tuples(events: EventRows) -> list[tuple[float, ...]]:
    columns = (
        events.device, events.start_us, events.duration_ms, events.peak_g, events.direction_x, events.direction_y,
        events.direction_z,
    )  # fmt: skip
    return [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


@settings(max_examples=25)
@given(seed=seeds)
def test_every_row_needs_no_more_than_its_halo(seed: int) -> None:
    samples = rough_fleet(seed, devices=2)
    whole = compute_windows(samples)
    for position in np.random.default_rng(seed).choice(len(whole), 6, replace=False):
        device, start_us = int(whole.device[position]), int(whole.start_us[position])
        rows = compute_windows(halo_of(samples, device, start_us))
        assert_same_rows(rows.take(rows.start_us == start_us), whole.take(slice(position, position + 1)))


@settings(max_examples=15)
@given(seed=seeds)
def test_every_event_needs_no_more_than_the_halo_of_its_window(seed: int) -> None:
    samples = rough_fleet(seed, devices=2)
    whole = spike_events(samples)
    windows = {(int(d), int(s)) for d, s in zip(whole.device, window_start_us(whole.start_us), strict=True)}
    for device, start_us in sorted(windows):
        alone = events_in_window(halo_of(samples, device, start_us), device, start_us)
        assert alone == events_in_window(samples, device, start_us)


@settings(max_examples=10)
@given(seed=seeds, cut_s=st.floats(1.0, SECONDS))
def test_rows_do_not_depend_on_where_the_samples_are_cut(seed: int, cut_s: float) -> None:
    samples = rough_fleet(seed)
    cut_us = int(window_start_us(np.array([ORIGIN_US + int(cut_s * 1e6)]))[0])
    early, late = samples.time_us < cut_us + HALO_AFTER_US, samples.time_us >= cut_us - HALO_BEFORE_US
    first, second = compute_windows(samples.take(early)), compute_windows(samples.take(late))
    joined = WindowRows.concat([first.take(first.start_us < cut_us), second.take(second.start_us >= cut_us)])
    assert_same_rows(joined.take(np.lexsort((joined.start_us, joined.device))), compute_windows(samples))


@settings(max_examples=10)
@given(seed=seeds)
def test_rows_do_not_depend_on_the_other_devices(seed: int) -> None:
    samples = rough_fleet(seed, devices=4)
    alone = [compute_windows(samples.take(samples.device == device)) for device in range(4)]
    assert_same_rows(WindowRows.concat(alone), compute_windows(samples))


def test_the_halo_is_not_empty_of_meaning() -> None:
    samples = rough_fleet(11)
    whole, alone = compute_windows(samples), []
    for device, start_us in zip(whole.device.tolist(), whole.start_us.tolist(), strict=True):
        inside = (samples.device == device) & (window_start_us(samples.time_us) == start_us)
        alone.append(compute_windows(samples.take(inside)))
    assert WindowRows.concat(alone)["steps"].sum() < whole["steps"].sum()
    assert len(spike_events(samples))


def test_samples_are_left_as_they_were() -> None:
    samples = rough_fleet(7)
    before = {name: column.copy() for name, column in vars(samples).items()}
    compute_windows(samples)
    spike_events(samples)
    for name, column in before.items():
        assert np.array_equal(getattr(samples, name), column, equal_nan=column.dtype.kind == "f"), name


def test_steps_of_the_windows_sum_to_the_steps_of_the_recording() -> None:
    samples = rough_fleet(11)
    samples = samples.take(samples.device == 0)
    whole = compute_windows(samples)
    by_window = 0
    for start_us in whole.start_us.tolist():
        rows = compute_windows(halo_of(samples, 0, start_us))
        by_window += int(rows["steps"][rows.start_us == start_us].sum())
    assert by_window == whole["steps"].sum() > 0


def test_an_unsorted_table_is_refused() -> None:
    samples = rough_fleet(1)
    with pytest.raises(ValueError, match="sorted by"):
        compute_windows(samples.take(slice(None, None, -1)))


@pytest.mark.parametrize("samples", [SampleTable.empty(), rough_fleet(3).take(slice(0, 1))], ids=["none", "one"])
def test_tables_of_no_or_one_sample_give_as_many_rows(samples: SampleTable) -> None:
    rows = compute_windows(samples)
    assert len(rows) == len(samples)
    assert len(spike_events(samples)) == 0
    assert list(rows.features) == [column.name for column in FEATURE_COLUMNS]
