"""Whether a version that tells activities may replace the one in force: no worse on people neither has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wearables_platform.models.class_evaluate import ClassJudgement
from wearables_platform.models.class_predict import ClassScorer
from wearables_platform.models.class_set import ClassSet
from wearables_platform.models.class_training import judge_held_out, judge_slices, judges_of
from wearables_platform.models.gate import too_few_judges
from wearables_platform.models.slices import Known
from wearables_platform.models.verdict import Verdict

MIN_LIFT: Final = 1.5
"""Macro-F1 must be this many times what telling each activity as often as it occurs would give."""

SLICE_MARGIN: Final = 0.03
"""How much lower macro-F1 may be in one slice, where fewer people judge."""


def decide_classes(
    candidate: ClassScorer,
    incumbent: ClassScorer | None,
    windows: ClassSet,
    *,
    trained_on: frozenset[str],
    known: Known,
) -> Verdict[ClassJudgement]:
    """Compare two versions on the held-out people of the candidate's own set, overall and in every slice.

    `trained_on` names everyone either version has trained on: none of them may judge.
    """
    judges = judges_of(windows, trained_on)
    unjudged = too_few_judges(judges.people)
    if unjudged:
        return Verdict(unjudged, tuple(judges.people))
    ours = judge_held_out(candidate, windows, trained_on)
    theirs = judge_held_out(incumbent, windows, trained_on) if incumbent else None
    mine = judge_slices(candidate, windows, known, trained_on)
    others = judge_slices(incumbent, windows, known, trained_on) if incumbent else {}
    slices = {name: (judged, others.get(name)) for name, judged in mine.items()}
    return Verdict(
        refusals=(*below_chance(ours), *worse_classes(ours, theirs), *worse_in_class_slices(slices)),
        people=tuple(judges.people),
        candidate=ours,
        incumbent=theirs,
        compared_with=incumbent.version if incumbent else None,
        slices=slices,
    )


def below_chance(ours: ClassJudgement) -> list[str]:
    """Return what no model may do, whatever it is compared with."""
    share = ours.confusion.sum(axis=1) / max(ours.windows, 1)
    # Guessing in proportion: an activity's precision and recall are both its share.
    needed = min(MIN_LIFT * float(share[share > 0].mean()), 0.99)
    if ours.macro_f1 < needed:
        return [f"macro_f1: {ours.macro_f1:.3f}, {needed:.3f} needed ({MIN_LIFT:g} x guessing)"]
    return []


def worse_classes(ours: ClassJudgement, theirs: ClassJudgement | None) -> list[str]:
    """Return in what the candidate is worse. No margin: small steps down would add up unseen."""
    if theirs is None:
        return []
    return [
        f"worse_{name}: {mine:.4f}, the incumbent has {other:.4f} on the same people"
        for name, mine, other in (
            ("macro_f1", ours.macro_f1, theirs.macro_f1),
            ("accuracy", ours.accuracy, theirs.accuracy),
        )
        if mine < other
    ]


def worse_in_class_slices(slices: Mapping[str, tuple[ClassJudgement, ClassJudgement | None]]) -> list[str]:
    """Return in which slices the candidate is worse by more than the margin: better overall is no excuse."""
    return [
        f"worse_in_slice: {name}: macro-F1 {ours.macro_f1:.4f}, the incumbent has {theirs.macro_f1:.4f}"
        for name, (ours, theirs) in slices.items()
        if theirs is not None and ours.macro_f1 < theirs.macro_f1 - SLICE_MARGIN
    ]
