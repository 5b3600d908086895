"""Zoom levels: exact, whatever the chunks, and from whichever level they are made."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.signals.zoom import (
    PER_G,
    WIDTHS_US,
    Cells,
    cells_of,
    coarser,
    point_width_us,
    stored_widths,
)

DAY_US = 86_400_000_000


def samples(seed: int, size: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three devices, about two minutes, values from tiny to beyond any body, some not finite."""
    random = np.random.default_rng(seed)
    accel_g = (random.normal(0, 1, (size, 3)) * 10.0 ** random.integers(-6, 3, (size, 1))).astype(np.float32)
    accel_g[random.random((size, 3)) < 0.01] = np.nan
    time_us = 1_774_742_400_000_000 + random.integers(0, 120_000_000, size)
    return random.integers(0, 3, size), time_us, accel_g


def same(one: Cells, other: Cells) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name))
        and getattr(one, f.name).dtype == getattr(other, f.name).dtype
        for f in fields(Cells)
    )


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 400), max_size=6), st.integers(0, 3), st.integers(1, 4))
def test_a_level_from_a_finer_one_is_the_level_from_the_samples(seed: int, cuts: list[int], fine: int, up: int) -> None:
    device, time_us, accel_g = samples(seed)
    coarse_us = WIDTHS_US[min(fine + up, len(WIDTHS_US) - 1)]
    bounds = [0, *sorted(cuts), len(device)]
    parts = [
        cells_of(device[begin:end], time_us[begin:end], accel_g[begin:end], WIDTHS_US[fine])
        for begin, end in zip(bounds, bounds[1:], strict=False)
    ]
    assert same(coarser(Cells.concat(parts), coarse_us), cells_of(device, time_us, accel_g, coarse_us))


@given(st.integers(0, 10_000))
def test_cells_are_what_numpy_says_of_their_samples(seed: int) -> None:
    device, time_us, accel_g = samples(seed)
    before = accel_g.copy()
    cells = cells_of(device, time_us, accel_g, 10_000_000)
    assert np.array_equal(accel_g, before, equal_nan=True)
    good = np.isfinite(accel_g).all(axis=1)
    assert cells.n.sum() == good.sum()
    for i in range(len(cells)):
        inside = good & (device == cells.device[i]) & (time_us // 10_000_000 * 10_000_000 == cells.start_us[i])
        values = accel_g[inside].astype(np.float64)
        assert len(values) == cells.n[i]
        assert np.array_equal(values.min(axis=0), cells.low_g[i])
        assert np.array_equal(values.max(axis=0), cells.high_g[i])
        clipped = np.clip(values, -1_024, 1_024)
        assert np.allclose(cells.mean_g[i], clipped.mean(axis=0), rtol=1e-12, atol=0.5 / PER_G)


def test_a_day_of_the_loudest_samples_does_not_overflow() -> None:
    loud = np.array([[1e30, -1e30, 400]], np.float32)
    cell = cells_of(np.zeros(1), np.zeros(1, np.int64), loud, WIDTHS_US[-1])
    many = np.array([32_000 * 86_400])
    assert np.array_equal(
        cell.total * many, [[1_024 * PER_G * int(many[0]), -1_024 * PER_G * int(many[0]), 400 * PER_G * int(many[0])]]
    )


@settings(max_examples=50)
@given(st.integers(0, DAY_US), st.integers(1, DAY_US), st.integers(1, 5_000), st.sampled_from([1, *WIDTHS_US]))
def test_points_are_never_more_than_asked_for_and_as_narrow_as_that_allows(
    first_us: int, length_us: int, max_points: int, width_us: int
) -> None:
    end_us = first_us + length_us
    found = point_width_us(first_us, end_us, max_points, width_us)
    points = (end_us - 1) // found - first_us // found + 1
    assert found % width_us == 0
    assert points <= max_points
    if found > width_us:
        narrower = found - width_us
        assert (end_us - 1) // narrower - first_us // narrower + 1 > max_points


def test_widths_divide_each_other_and_a_day() -> None:
    assert all(wide % narrow == 0 for narrow, wide in zip(WIDTHS_US, WIDTHS_US[1:], strict=False))
    assert DAY_US % WIDTHS_US[-1] == 0


@pytest.mark.parametrize(
    ("rate_hz", "finest_us"), [(1, 60_000_000), (50, 10_000_000), (100, 1_000_000), (16_000, 10_000)]
)
def test_a_level_is_kept_where_a_cell_stands_for_many_samples(rate_hz: float, finest_us: int) -> None:
    assert stored_widths(rate_hz)[0] == finest_us
    assert stored_widths(rate_hz)[-1] == WIDTHS_US[-1]
