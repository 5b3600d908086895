"""What the gate refuses, on judgements written by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from wearables_platform.models.evaluate import MIN_EVENTS, Judgement, judge
from wearables_platform.models.gate import ALARM_RATE_MARGIN, MAX_ALARM_RATE, below_floor, decide, worse_than
from wearables_platform.models.predict import Scorer, load_scorer
from wearables_platform.models.releases import release_of
from wearables_platform.models.train import ForestParams, train
from wearables_platform_tests.model_windows import draw_training_set


def judgement(**changes: Any) -> Judgement:
    usual = {"average_precision": 0.8, "prevalence": 0.1, "alarm_rate": 0.012, "alarm_rate_error": 0.004}
    return Judgement(windows=1_000, events=100, **{**usual, **changes})


@cache
def scorer(seed: int) -> Scorer:
    candidate = train(draw_training_set(seed), ForestParams(n_trees=20))
    return load_scorer(release_of(candidate, 0), lambda _path: candidate.artifact)


def reasons(refusals: list[str]) -> list[str]:
    return [refusal.split(":")[0] for refusal in refusals]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"alarm_rate": MAX_ALARM_RATE + 0.001}, ["alarm_rate"]),
        ({"average_precision": 0.199}, ["average_precision"]),
        ({"average_precision": 0.2}, []),
        ({"average_precision": None}, []),
        ({"average_precision": 0.99, "prevalence": 0.6}, ["average_precision"]),
        ({"average_precision": 1.0, "prevalence": 0.6}, []),
    ],
)
def test_what_no_model_may_do(changes: dict[str, Any], expected: list[str]) -> None:
    assert reasons(below_floor(judgement(**changes))) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"average_precision": 0.7999}, ["worse_average_precision"]),
        ({"average_precision": 0.9}, []),
        ({"alarm_rate_error": 0.004 + ALARM_RATE_MARGIN}, []),
        ({"alarm_rate_error": 0.0041 + ALARM_RATE_MARGIN}, ["worse_alarm_rate"]),
        ({"average_precision": None, "alarm_rate_error": 0.1}, ["worse_alarm_rate"]),
        ({"average_precision": 0.1, "alarm_rate_error": 0.1}, ["worse_average_precision", "worse_alarm_rate"]),
    ],
)
def test_in_what_a_candidate_may_not_be_worse(changes: dict[str, Any], expected: list[str]) -> None:
    assert reasons(worse_than(judgement(**changes), judgement())) == expected


def test_a_model_equal_to_the_incumbent_passes() -> None:
    windows = draw_training_set(1)
    learnt = frozenset(windows.take(~windows.held_out).people)
    verdict = decide(scorer(1), scorer(1), windows, trained_on=learnt, alarm_rate=0.01)
    assert verdict.passed
    assert verdict.candidate == verdict.incumbent


def test_whoever_either_version_trained_on_does_not_judge() -> None:
    windows = draw_training_set(1)
    judges = windows.take(windows.held_out).people
    verdict = decide(scorer(1), None, windows, trained_on=frozenset(judges[:1]), alarm_rate=0.01)
    assert verdict.people == tuple(judges[1:])


def test_without_a_judge_nothing_is_published() -> None:
    windows = draw_training_set(1)
    verdict = decide(scorer(1), None, windows, trained_on=frozenset(windows.people), alarm_rate=0.01)
    assert reasons(list(verdict.refusals)) == ["no_held_out_people"]


def test_one_judge_is_no_judge() -> None:
    windows = draw_training_set(1)
    judges = windows.take(windows.held_out).people
    verdict = decide(scorer(1), None, windows, trained_on=frozenset(judges[1:]), alarm_rate=0.01)
    assert verdict.refusals == ("too_few_held_out_people: 1 unknown to both versions, 2 needed",)
    assert decide(scorer(1), None, windows, trained_on=frozenset(judges[2:]), alarm_rate=0.01).candidate is not None


def test_few_events_are_said_to_decide_nothing() -> None:
    windows = draw_training_set(1)
    judges = windows.take(windows.held_out)
    chosen = np.flatnonzero(judges.is_event)[MIN_EVENTS - 1 :]
    judges.is_event[chosen] = False
    verdict = decide(scorer(1), None, judges, trained_on=frozenset(), alarm_rate=0.01)
    assert verdict.passed
    assert verdict.candidate is not None
    assert verdict.candidate.average_precision is None
    assert "alarm rate alone" in verdict.warnings[0]


def test_the_alarm_rate_is_a_mean_over_people_not_windows() -> None:
    windows = draw_training_set(1, people=2, per_person=100)
    uneven = windows.take(np.arange(200) < 150)
    alarms = uneven.person == uneven.people[1]
    judged = judge(uneven, np.zeros(150), alarms, alarm_rate=0.01)
    assert judged.alarm_rate == 0.5
    assert judged.alarm_rate_error == pytest.approx((0.01 + 0.99) / 2)
