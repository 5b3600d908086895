"""A model is as dear as it is; how busy the machine is while it is timed says nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from wearables_platform.errors import ModelRefused
from wearables_platform.models.speed import TURNS, WINDOWS, check_cost, check_usable, relative_cost

PROBE = np.zeros((4, 3), np.float32)


def nothing(matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.zeros(len(matrix))


def clock(took_s: list[float]) -> Callable[[], float]:
    """A clock by which each turn takes so long, the last one for ever after."""
    spans = chain(took_s, repeat(took_s[-1]))

    def readings() -> Iterator[float]:
        now_s = 0.0
        for span_s in spans:
            yield now_s
            now_s += span_s
            yield now_s

    read = readings()
    return lambda: next(read)


def turns(reference_s: list[float], model_s: list[float]) -> list[float]:
    return [span_s for pair in zip(reference_s, model_s, strict=True) for span_s in pair]


def test_one_quiet_turn_of_each_is_enough() -> None:
    stalled = [1.0] * (TURNS - 1)
    took = turns([*stalled, 0.004], [0.008, *stalled])
    assert relative_cost(nothing, PROBE, clock(took)) == pytest.approx(2.0)


@pytest.mark.parametrize("machine", [0.1, 1.0, 50.0])
def test_a_machine_that_is_slow_throughout_decides_nothing(machine: float) -> None:
    usual, dear = 0.004 * machine, 0.2 * machine
    check_cost(nothing, PROBE, 30.0, clock(turns([usual] * TURNS, [usual] * TURNS)))
    with pytest.raises(ModelRefused, match="^too_slow: 50 times the reference forest, 30 allowed"):
        check_cost(nothing, PROBE, 30.0, clock(turns([usual] * TURNS, [dear] * TURNS)))


def test_whoever_loads_a_version_refuses_only_what_is_of_no_use() -> None:
    check_usable(nothing, PROBE, clock([WINDOWS * 0.5, WINDOWS * 0.5, WINDOWS * 0.009]))
    with pytest.raises(ModelRefused, match="^too_slow: 11000 us per window, of no use over 10000"):
        check_usable(nothing, PROBE, clock([WINDOWS * 0.011]))


def test_scoring_is_timed_with_a_thousand_windows() -> None:
    seen: list[int] = []
    relative_cost(lambda matrix: seen.append(len(matrix)) or nothing(matrix), PROBE)
    assert seen == [WINDOWS] * TURNS
