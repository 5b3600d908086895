"""Whether a candidate may replace the version in force: only if it is no worse on people neither has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from wearables_platform.models.evaluate import Judgement, judge
from wearables_platform.models.predict import Scorer
from wearables_platform.models.slices import Known, slices_of
from wearables_platform.models.training_set import TrainingSet
from wearables_platform.models.verdict import Verdict

MAX_ALARM_RATE: Final = 0.20
"""A model that calls every fifth window of an unknown person unusual is of no use to anybody."""

MIN_LIFT: Final = 2.0
"""Known events must rank at least this many times better than by guessing."""

MIN_JUDGES: Final = 2
"""One person's habits must not decide for everyone. No more are asked for, since sets of ten people set two apart; the
spread over people is on the card."""

ALARM_RATE_MARGIN: Final = 0.005
"""How much further than the incumbent's the alarm rate may stray: half a point is within a few people's chance."""

SLICE_PRECISION_MARGIN: Final = 0.02
SLICE_ALARM_RATE_MARGIN: Final = 0.01
"""How much worse than the incumbent a candidate may be in one slice: wider than overall, for fewer people judge it."""


def decide(
    candidate: Scorer,
    incumbent: Scorer | None,
    training_set: TrainingSet,
    *,
    trained_on: frozenset[str],
    alarm_rate: float,
    known: Known | None = None,
) -> Verdict[Judgement]:
    """Compare two versions on the held-out people of the candidate's own set, overall and in every slice.

    `trained_on` names everyone either version has trained on: none of them may judge.
    """
    judges = training_set.take(training_set.held_out & ~np.isin(training_set.person, sorted(trained_on) or [""]))
    unjudged = too_few_judges(judges.people)
    if unjudged:
        return Verdict(unjudged, tuple(judges.people))
    ours = _judged(candidate, judges, alarm_rate)
    theirs = _judged(incumbent, judges, alarm_rate) if incumbent else None
    slices = {
        name: (
            _judged(candidate, judges.take(chosen), alarm_rate),
            _judged(incumbent, judges.take(chosen), alarm_rate) if incumbent else None,
        )
        for name, chosen in slices_of(judges, known or Known())
    }
    refusals = (*below_floor(ours), *(worse_than(ours, theirs) if theirs else ()), *worse_in_slices(slices))
    return Verdict(
        refusals=refusals,
        people=tuple(judges.people),
        candidate=ours,
        incumbent=theirs,
        compared_with=incumbent.version if incumbent else None,
        warnings=_warnings(ours),
        slices=slices,
    )


def too_few_judges(people: Sequence[str]) -> tuple[str, ...]:
    """Return why a version cannot be judged, where it cannot."""
    if not people:
        return ("no_held_out_people: nobody in the set is unknown to both versions",)
    if len(people) < MIN_JUDGES:
        return (f"too_few_held_out_people: {len(people)} unknown to both versions, {MIN_JUDGES} needed",)
    return ()


def _judged(scorer: Scorer, judges: TrainingSet, alarm_rate: float) -> Judgement:
    scores = scorer.score_matrix(judges.matrix)
    return judge(judges, scores, scores >= scorer.alarm_threshold, alarm_rate)


def below_floor(ours: Judgement) -> list[str]:
    """Return what no model may do, whatever it is compared with."""
    found = []
    if ours.alarm_rate > MAX_ALARM_RATE:
        found.append(f"alarm_rate: {ours.alarm_rate:.1%} of unknown people's windows, {MAX_ALARM_RATE:.0%} allowed")
    needed = min(1.0, MIN_LIFT * ours.prevalence)
    if ours.average_precision is not None and ours.average_precision < needed:
        found.append(f"average_precision: {ours.average_precision:.3f}, {needed:.3f} needed ({MIN_LIFT:g} x guessing)")
    return found


def worse_than(ours: Judgement, theirs: Judgement) -> list[str]:
    """Return in what the candidate is worse. Precision has no margin: small steps down would add up unseen."""
    found = []
    mine, other = ours.average_precision, theirs.average_precision
    if mine is not None and other is not None and mine < other:
        found.append(f"worse_average_precision: {mine:.4f}, the incumbent has {other:.4f} on the same people")
    if ours.alarm_rate_error > theirs.alarm_rate_error + ALARM_RATE_MARGIN:
        found.append(
            f"worse_alarm_rate: strays by {ours.alarm_rate_error:.3%}, the incumbent by {theirs.alarm_rate_error:.3%}"
        )
    return found


def worse_in_slices(slices: Mapping[str, tuple[Judgement, Judgement | None]]) -> list[str]:
    """Return in which slices the candidate is worse by more than the margin: better overall is no excuse."""
    found = []
    for name, (ours, theirs) in slices.items():
        if theirs is None:
            continue
        mine, other = ours.average_precision, theirs.average_precision
        if mine is not None and other is not None and mine < other - SLICE_PRECISION_MARGIN:
            found.append(f"worse_in_slice: {name}: average precision {mine:.4f}, the incumbent has {other:.4f}")
        if ours.alarm_rate_error > theirs.alarm_rate_error + SLICE_ALARM_RATE_MARGIN:
            found.append(
                f"worse_in_slice: {name}: alarm rate strays by {ours.alarm_rate_error:.2%}, "
                f"the incumbent by {theirs.alarm_rate_error:.2%}"
            )
    return found


def _warnings(ours: Judgement) -> tuple[str, ...]:
    if ours.average_precision is None:
        return (f"only {ours.events} known events among the held-out people: judged by the alarm rate alone",)
    return ()
