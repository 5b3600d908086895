"""VUS-PR against values published for another implementation, and against what it must mean."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from wearables_platform.models.vus import buffered, range_pr_area, vus_pr

Example = tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]


def one_series(size: int) -> NDArray[np.int64]:
    return np.zeros(size, dtype=np.int64)


@pytest.fixture
def published() -> Example:
    """Three events and noisy scores; the example for which aeon's tests (BSD-3) state the results."""
    is_event = np.zeros(200, dtype=np.bool_)
    is_event[10:20] = is_event[28:33] = is_event[110:120] = True
    scores = np.random.default_rng(41).random(200) * 0.5
    scores[16:22] = scores[33:38] = scores[160:170] = 1.0
    return is_event, scores, one_series(200)


def test_area_and_volume_are_those_published(published: Example) -> None:
    assert range_pr_area(*published, 10) == pytest.approx(0.3737854660, abs=1e-9)
    assert range_pr_area(*published, 4) == pytest.approx(0.2506464391, abs=1e-9)
    assert vus_pr(*published, max_buffer=200) == pytest.approx(0.7493254559, abs=1e-9)


def test_a_perfect_score_has_volume_one_without_buffer_and_nothing_known_has_none() -> None:
    is_event = np.array([0, 0, 1, 1, 0, 0, 0, 1, 0, 0], dtype=bool)
    assert vus_pr(is_event, is_event * 1.0, one_series(10), max_buffer=0) == pytest.approx(1.0)
    assert vus_pr(np.zeros(10, bool), np.arange(10.0), one_series(10)) is None
    assert vus_pr(is_event, np.ones(10), one_series(10)) is None


def test_an_alarm_beside_the_event_counts_and_one_far_away_does_not() -> None:
    is_event, beside, far = np.zeros(60, bool), np.zeros(60), np.zeros(60)
    is_event[30] = True
    beside[31] = far[50] = 1.0
    volume = {name: vus_pr(is_event, scores, one_series(60)) for name, scores in {"beside": beside, "far": far}.items()}
    assert volume["beside"] is not None
    assert volume["far"] is not None
    assert volume["beside"] > 3 * volume["far"]


def test_an_event_nobody_noticed_costs_recall_as_a_whole() -> None:
    is_event = np.zeros(40, bool)
    is_event[10:14] = is_event[30:34] = True
    both, one = np.linspace(0, 0.1, 40), np.linspace(0, 0.1, 40)
    both[[10, 11, 30, 31]] = 1.0  # half of each
    one[10:14] = 1.0  # the whole of one
    assert range_pr_area(is_event, both, one_series(40), 0) > range_pr_area(is_event, one, one_series(40), 0)


def test_a_buffer_does_not_reach_another_person() -> None:
    is_event = np.array([0, 0, 1, 0, 0], dtype=bool)
    assert buffered(is_event, one_series(5), 4).tolist() == pytest.approx([0.5**0.5, 0.75**0.5, 1, 0.75**0.5, 0])
    assert buffered(is_event, np.array([0, 0, 1, 1, 1]), 4).tolist() == pytest.approx([0, 0, 1, 0.75**0.5, 0])
