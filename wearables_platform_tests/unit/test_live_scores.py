"""When live scores say that a version must go, and when they say nothing yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from wearables_platform.models.gate import SLICE_PRECISION_MARGIN, worse_in_slices
from wearables_platform.models.live_scores import (
    LiveScores,
    Patience,
    reference_of,
    what_has_drifted,
    what_is_broken,
    worse_live,
)
from wearables_platform.models.publishing import lineage_refusals
from wearables_platform.models.registry import ModelVersion
from wearables_platform.models.score_counts import BINS, ScoreCounts, psi
from wearables_platform.models.slices import Known, slices_of
from wearables_platform_tests.model_windows import draw_training_set
from wearables_platform_tests.unit.test_model_gate import judgement

HOUR = datetime(2026, 5, 1, tzinfo=UTC)
PATIENCE = Patience(windows=1_000, hours=2)
REFERENCE = reference_of(np.random.default_rng(1).beta(2, 5, 20_000), 0.8)


def live(draw: Any, hours: int = 2, windows: int = 600, not_a_number: int = 0) -> LiveScores:
    random, found = np.random.default_rng(2), {}
    for number in range(hours):
        scores = draw(random, windows)
        scores[:not_a_number] = np.nan
        counts = ScoreCounts()
        counts.add(scores, 0.8)
        found[HOUR + timedelta(hours=number)] = counts
    return LiveScores(found)


def usual(random: Any, windows: int) -> Any:
    return random.beta(2, 5, windows)


def higher(random: Any, windows: int) -> Any:
    return random.beta(9, 2, windows)


def a_little_higher(random: Any, windows: int) -> Any:
    return random.beta(3, 5, windows)


def words(problems: list[str]) -> list[str]:
    return [problem.split(":")[0] for problem in problems]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (live(usual), []),
        (live(usual, not_a_number=5), ["not_a_number"]),
        (live(higher), ["live_alarm_rate", "live_distribution"]),
        (live(higher, hours=1, windows=1_200), ["live_alarm_rate"]),  # the distribution has not seen day and night
        (live(higher, hours=1), []),  # too few to say anything
        (LiveScores({}), []),
    ],
)
def test_what_live_scores_break(found: LiveScores, expected: list[str]) -> None:
    assert words(what_is_broken(found, REFERENCE, PATIENCE)) == expected


def test_what_was_right_long_ago_does_not_cover_what_is_wrong_now() -> None:
    good, bad = live(usual, hours=20), live(higher, hours=2)
    later = {hour + timedelta(hours=20): counts for hour, counts in bad.hours.items()}
    assert what_is_broken(LiveScores({**good.hours, **later}), REFERENCE, PATIENCE)


def test_a_drift_is_a_reason_to_retrain_before_it_is_one_to_roll_back() -> None:
    assert not what_is_broken(live(a_little_higher), REFERENCE, PATIENCE)
    assert what_has_drifted(live(a_little_higher), REFERENCE, PATIENCE)
    assert not what_has_drifted(live(usual), REFERENCE, PATIENCE)


def test_a_shadow_must_not_alarm_more_than_the_version_in_force_on_the_same_hours() -> None:
    assert words(worse_live(live(higher), live(usual), 0.01)) == ["worse_live_alarm_rate"]
    assert worse_live(live(usual), live(usual), 0.01) == []
    elsewhere = LiveScores({HOUR + timedelta(days=9): ScoreCounts(windows=1)})
    assert worse_live(live(higher), elsewhere, 0.01) == []


def test_counts_hold_every_score_once() -> None:
    counts = ScoreCounts()
    counts.add(np.array([0.0, 0.5, 1.0, np.nan]), 0.5)
    assert (counts.windows, counts.not_a_number, counts.alarms, counts.bins.sum()) == (4, 1, 2, 3)
    assert counts.bins[[0, BINS // 2, BINS - 1]].tolist() == [1, 1, 1]
    assert psi(counts.bins, counts.bins) == 0.0


def test_better_overall_and_worse_for_one_device_model_is_refused() -> None:
    worse = judgement(average_precision=0.8 - SLICE_PRECISION_MARGIN - 0.001)
    found = worse_in_slices(
        {"rate 50 Hz": (judgement(average_precision=0.9), judgement()), "age 70+": (worse, judgement())}
    )
    assert [problem.split(":")[:2] for problem in found] == [["worse_in_slice", " age 70+"]]
    within = judgement(average_precision=0.8 - SLICE_PRECISION_MARGIN + 0.001)
    assert worse_in_slices({"age 70+": (within, judgement()), "rate 50 Hz": (worse, None)}) == []


def test_slices_are_those_the_registry_and_the_rows_know() -> None:
    windows = draw_training_set(1)
    devices, people = sorted(set(windows.device_id)), windows.people
    known = Known(
        device_model={device: "a" if number < 6 else "unknown" for number, device in enumerate(devices)},
        birth_year={person: 1990 if number < 11 else 1950 for number, person in enumerate(people)},
        rate_hz={device: 50.0 if number < 3 else 100.0 for number, device in enumerate(devices)},
    )
    found = {name: int(chosen.sum()) for name, chosen in slices_of(windows, known)}
    assert found.keys() == {"device_model a", "age 30-39", "rate 50 Hz", "rate 100 Hz"}  # one person is no slice
    assert found["age 30-39"] == int(np.isin(windows.person, people[:11]).sum())


def row(*people: str) -> ModelVersion:
    return ModelVersion("m", "1", "candidate", "0" * 64, "x", "2", "1", HOUR, "none", people)


def test_a_model_that_learnt_from_models_or_from_erased_people_is_refused() -> None:
    known = frozenset({"a", "b"})
    assert lineage_refusals(row("a", "b"), known, ("spike rule", "labels")) == []
    assert words(lineage_refusals(row("a", "c"), known, ("spike rule",))) == ["erased_people"]
    assert words(lineage_refusals(row("a"), known, ("spike rule", "activity_anomaly"))) == ["own_outputs"]
