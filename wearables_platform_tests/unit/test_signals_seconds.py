"""One speaker per instant, steps by carry, kernels that need nowhere to be kept."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from wearables_platform.signals.cleaning import clean
from wearables_platform.signals.compiled import compiled
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.overlaps import WINDOW_US, always, into_seconds
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.steps import StepParams
from wearables_platform.signals.windows import WindowParams, compute_windows
from wearables_platform_tests.reference_steps import find_steps
from wearables_platform_tests.simulated_motion import rough_device, walking

ORIGIN_US = 1_700_000_000_000_000


def series(boot: int, begin: int, end: int, segment: int = 0, level_g: float = 1.0) -> SampleTable:
    """Samples of 100 Hz at the hundredths [begin, end) of the first seconds."""
    at = np.arange(begin, end)
    accel_g = np.column_stack((np.zeros(len(at)), np.zeros(len(at)), level_g + at * 1e-4))
    return SampleTable.build(
        device=0, boot=boot, segment=segment, time_us=ORIGIN_US + at * 10_000, rate_hz=100.0, accel_g=accel_g
    )


def kept_boots(*parts: SampleTable) -> list[list[int]]:
    table = SampleTable.concat(parts)
    seconds = into_seconds(table, always(1))
    return [
        sorted(set(table.boot[seconds.index[begin:end]].tolist()))
        for begin, end in zip(seconds.first, seconds.first[1:], strict=False)
    ]


def test_the_series_with_most_samples_speaks_for_a_second() -> None:
    assert kept_boots(series(1, 0, 100), series(2, 40, 200)) == [[1], [2]]
    assert kept_boots(series(1, 0, 30), series(2, 20, 100)) == [[2]]


def test_of_equally_many_samples_the_lower_boot_speaks() -> None:
    assert kept_boots(series(4, 0, 100), series(9, 0, 100)) == [[4]]


def test_series_that_follow_each_other_in_a_second_both_speak() -> None:
    assert kept_boots(series(1, 0, 50), series(2, 50, 100)) == [[1, 2]]
    assert kept_boots(series(1, 50, 100), series(2, 0, 50)) == [[1, 2]]


def test_samples_of_a_second_are_in_order_of_time_whatever_the_order_of_boots() -> None:
    table = SampleTable.concat([series(1, 50, 100), series(2, 0, 50)])
    seconds = into_seconds(table, always(1))
    assert np.all(np.diff(table.time_us[seconds.index]) > 0)


def test_an_overlap_is_flagged_and_a_second_boot_too() -> None:
    rows = compute_windows(SampleTable.concat([series(1, 0, 150), series(2, 140, 300)]))
    flags = [QualityFlag(int(bits)) for bits in rows["flags"]]
    assert [QualityFlag.OVERLAP in found for found in flags] == [False, True, False]
    assert [QualityFlag.REBOOT in found for found in flags] == [False, True, False]
    assert rows["n_samples"].tolist() == [100, 60, 100]  # of 50 and 60 samples that cross, 60 speak


def test_a_window_cleans_every_series_by_itself() -> None:
    other = series(2, 0, 100, level_g=5.0).take(slice(None, None, 10))  # as glitches, if it were one series
    rows = compute_windows(SampleTable.concat([series(1, 0, 100), other]))
    assert rows["glitches"].tolist() == [0]
    assert rows["vm_max_g"][0] < 1.1


@pytest.mark.parametrize("seed", range(6))
def test_steps_by_carry_are_those_of_the_whole_recording(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rough_device(rng, 0, 40.0, ORIGIN_US)
    expected = find_steps(clean(samples))
    rows = compute_windows(samples)
    by_second = np.bincount((expected.time_us - rows.start_us[0]) // WINDOW_US, minlength=60)
    assert rows["steps"].tolist() == by_second[(rows.start_us - rows.start_us[0]) // WINDOW_US].tolist()


def test_other_settings_of_the_step_counter_carry_as_much_as_they_need() -> None:
    accel_g = walking(np.random.default_rng(2), 40, 50.0)
    time_us = ORIGIN_US + np.arange(len(accel_g)) * 20_000
    samples = SampleTable.build(device=0, time_us=time_us, rate_hz=50.0, accel_g=accel_g)
    params = StepParams(look_ahead=10, look_back=40, filter_half=12, valley=5, distance=4)

    expected = len(find_steps(clean(samples), params).time_us)
    assert compute_windows(samples, WindowParams(steps=params))["steps"].sum() == expected > 40


def test_kernels_compile_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = numba.njit

    def read_only(*, cache: bool = False, **options: object) -> object:
        if cache:
            msg = "cannot cache function: no locator available"
            raise RuntimeError(msg)
        return genuine(**options)

    monkeypatch.setattr(numba, "njit", read_only)
    assert compiled(lambda x: x + 1)(2) == 3
