"""How good a model is on people it has never seen.

Two questions: how far known events stand out (average precision of spike windows, and VUS-PR), and how far the alarm
rate on a new person strays from the rate it was set to. A split that mixes a person's windows over both sides flatters
every model; that figure is computed too, shown beside the true one as a warning and used for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.model_selection import GroupKFold

from wearables_platform.models.train import ForestParams, fit
from wearables_platform.models.training_set import TrainingSet
from wearables_platform.models.vus import vus_pr
from wearables_platform.signals.windows import WINDOW_US

MAX_FOLDS: Final = 5

MIN_EVENTS: Final = 5
"""Fewer known events among the people judged on, and a precision says nothing."""

CURVE_POINTS: Final = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """What a model did on windows of people it was not trained on.

    Attributes
    ----------
    average_precision : of known event windows ranked by score; None with fewer than `MIN_EVENTS`
    vus_pr : the same with credit for alarms close by, see `models.vus`; None likewise
    curve : (recall, precision) pairs, at most `CURVE_POINTS`, recall falling
    average_precision_by_person : of those with `MIN_EVENTS` or more of their own
    prevalence : share of windows that are events: the average precision of guessing
    alarm_rate : mean over people of the share of windows at or over the threshold
    alarm_rate_error : mean over people of the distance between that share and the rate aimed at
    alarm_rate_by_person : the shares
    """

    windows: int
    events: int
    average_precision: float | None
    prevalence: float
    alarm_rate: float
    alarm_rate_error: float
    alarm_rate_by_person: dict[str, float] = field(default_factory=dict)
    vus_pr: float | None = None
    curve: tuple[tuple[float, float], ...] = ()
    average_precision_by_person: dict[str, float] = field(default_factory=dict)

    def as_metrics(self) -> dict[str, Any]:
        """Return the judgement as plain values for the registry."""
        return {
            "windows": self.windows,
            "events": self.events,
            "people": len(self.alarm_rate_by_person),
            "average_precision": self.average_precision,
            "average_precision_by_person": self.average_precision_by_person,
            "vus_pr": self.vus_pr,
            "curve": [list(point) for point in self.curve],
            "prevalence": self.prevalence,
            "alarm_rate": self.alarm_rate,
            "alarm_rate_error": self.alarm_rate_error,
            "alarm_rate_by_person": self.alarm_rate_by_person,
        }

    gate_figures = as_metrics


def judge(windows: TrainingSet, scores: Floats, alarms: NDArray[np.bool_], alarm_rate: float) -> Judgement:
    """Judge scores and alarms of windows whose people the model does not know."""
    events = int(windows.is_event.sum())
    by_person = {person: float(alarms[windows.person == person].mean()) for person in windows.people}
    rates = np.array(list(by_person.values()))
    return Judgement(
        windows=len(windows),
        events=events,
        average_precision=_average_precision(windows.is_event, scores),
        prevalence=events / max(len(windows), 1),
        alarm_rate=float(rates.mean()) if len(rates) else 0.0,
        alarm_rate_error=float(np.abs(rates - alarm_rate).mean()) if len(rates) else 0.0,
        alarm_rate_by_person=by_person,
        vus_pr=vus_pr(windows.is_event, scores, _series(windows)) if events >= MIN_EVENTS else None,
        curve=_curve(windows.is_event, scores) if events >= MIN_EVENTS else (),
        average_precision_by_person=_precision_by_person(windows, scores),
    )


def cross_validate(training_set: TrainingSet, params: ForestParams) -> Judgement:
    """Judge the recipe on everyone it may train on, each person scored by a model that has not seen them."""
    seen = training_set.take(~training_set.held_out)
    folds = min(MAX_FOLDS, len(seen.people))
    if folds < 2:
        return judge(seen.take(np.zeros(len(seen), dtype=np.bool_)), np.empty(0), np.empty(0, bool), params.alarm_rate)
    splits = GroupKFold(folds).split(seen.matrix, groups=seen.person)
    scores, alarms = _out_of_fold(seen, splits, params)
    return judge(seen, scores, alarms, params.alarm_rate)


def random_split_precision(training_set: TrainingSet, params: ForestParams) -> float | None:
    """Return the average precision where a person's windows lie on both sides: a warning, not a result."""
    seen = training_set.take(~training_set.held_out)
    fold = np.random.default_rng(params.seed).permutation(len(seen)) % MAX_FOLDS
    splits = ((np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(MAX_FOLDS))
    scores, _ = _out_of_fold(seen, splits, params)
    return _average_precision(seen.is_event, scores)


def _out_of_fold(
    seen: TrainingSet, splits: Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]], params: ForestParams
) -> tuple[Floats, NDArray[np.bool_]]:
    scores = np.zeros(len(seen))
    alarms = np.zeros(len(seen), dtype=np.bool_)
    for learn, test in splits:
        fitted = fit(seen.matrix[learn], params, seen.is_event[learn])
        scores[test] = fitted.score(seen.matrix[test])
        alarms[test] = scores[test] >= fitted.alarm_threshold
    return scores, alarms


def _curve(is_event: NDArray[np.bool_], scores: Floats) -> tuple[tuple[float, float], ...]:
    precision, recall, _ = precision_recall_curve(is_event, scores)
    points = np.unique(np.linspace(0, len(recall) - 1, CURVE_POINTS).astype(np.intp))
    return tuple(zip(recall[points].tolist(), precision[points].tolist(), strict=True))


def _precision_by_person(windows: TrainingSet, scores: Floats) -> dict[str, float]:
    of_each = {one: windows.person == one for one in windows.people}
    found = {one: _average_precision(windows.is_event[mine], scores[mine]) for one, mine in of_each.items()}
    return {one: precision for one, precision in found.items() if precision is not None}


def _series(windows: TrainingSet) -> NDArray[np.int64]:
    """Give each unbroken stretch of one device on one person a number: an alarm's credit ends with it."""
    same = (windows.device_id[1:] == windows.device_id[:-1]) & (windows.person[1:] == windows.person[:-1])
    broken = ~same | (np.diff(windows.start_us) != WINDOW_US)
    return np.cumsum(np.r_[False, broken]) if len(windows) else np.zeros(0, np.int64)


def _average_precision(is_event: NDArray[np.bool_], scores: Floats) -> float | None:
    if int(is_event.sum()) < MIN_EVENTS:
        return None
    return float(average_precision_score(is_event, scores))
