"""Put a version that tells activities in force, or refuse it. Batch alone scores it: the stream is told nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from wearables_platform.clients.lake import Lake
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import ModelRefused
from wearables_platform.models import training_files
from wearables_platform.models.archives import files_of
from wearables_platform.models.class_evaluate import ClassJudgement
from wearables_platform.models.class_gate import decide_classes
from wearables_platform.models.class_predict import MOST_COST, ClassScorer, load_class_scorer
from wearables_platform.models.class_set import ClassSet
from wearables_platform.models.labels import LabelBook
from wearables_platform.models.publishing import known_people, store_card
from wearables_platform.models.registry import ModelRegistry, ModelVersion
from wearables_platform.models.retelling import newest_windows, retell
from wearables_platform.models.slices import Known
from wearables_platform.models.speed import check_cost
from wearables_platform.models.verdict import Verdict
from wearables_platform.signals.windows import WINDOW_US

ALWAYS: Final = from_us(0)
"""A first version tells everything before it too: there is nothing it could contradict."""


@dataclass(frozen=True)
class ClassPublished:
    """What a publishing run decided; `row` is the version decided on, or the one in force where there was none."""

    action: Literal["published", "refused", "unchanged"]
    row: ModelVersion | None
    verdict: Verdict[ClassJudgement] | None = None


def publish_class_candidate(lake: Lake, registry: ModelRegistry, known: Known, *, name: str) -> ClassPublished:
    """Judge the newest candidate against the version in force and publish or refuse it; the others are superseded.

    Windows from the end of its training data on are told by it; a first version tells all there are.
    """
    candidates = registry.candidates(name)
    if not candidates:
        return ClassPublished("unchanged", registry.in_force(name))
    for older in candidates[:-1]:
        registry.refuse(older, f"superseded: {candidates[-1].version} was trained after it", older.metrics)
    decided = _decide(lake, registry, known, candidates[-1])
    if decided.row is not None:
        store_card(lake, decided.row)
    return decided


def _decide(lake: Lake, registry: ModelRegistry, known: Known, candidate: ModelVersion) -> ClassPublished:
    try:
        scorer = load_class_scorer(candidate.draft_release(), files_of(lake))
        check_cost(scorer.score_matrix, scorer.description.probe_matrix(), MOST_COST)
    except ModelRefused as exc:
        return ClassPublished("refused", registry.refuse(candidate, str(exc), candidate.metrics))
    sha256 = scorer.description.training_sha256
    windows = training_files.load_as(ClassSet, lake, candidate.name, sha256).training_set
    incumbent = registry.in_force(candidate.name)
    rival, warnings = _incumbent(lake, incumbent)
    verdict = _verdict(registry, known, candidate, incumbent, scorer, rival, windows)
    verdict = replace(verdict, warnings=(*verdict.warnings, *warnings))
    metrics = {**candidate.metrics, "gate": verdict.as_metrics()}
    if rival is not None:
        newest = newest_windows(lake, registry.wears(), LabelBook(registry.sql).read())
        metrics["retold"] = retell(rival, scorer, newest).as_metrics()
    if not verdict.passed:
        return ClassPublished("refused", registry.refuse(candidate, "; ".join(verdict.refusals), metrics), verdict)
    because = f"passed the gate against {verdict.compared_with or 'no incumbent'}"
    instant = _effective_from(registry, candidate.name, windows)
    row = registry.put_in_force(candidate, lambda: instant, metrics, because)
    return ClassPublished("published", row, verdict)


def _effective_from(registry: ModelRegistry, name: str, windows: ClassSet) -> datetime:
    """Return the event time from which a version tells: after all it learnt from, and after the one before it."""
    before = [from_us(release.effective_from_us) for release in registry.releases(name)]
    end = from_us(int(windows.start_us.max()) + WINDOW_US)
    return max(end, max(before) + timedelta(microseconds=WINDOW_US)) if before else ALWAYS


def _verdict(
    registry: ModelRegistry,
    known: Known,
    candidate: ModelVersion,
    incumbent: ModelVersion | None,
    scorer: ClassScorer,
    rival: ClassScorer | None,
    windows: ClassSet,
) -> Verdict[ClassJudgement]:
    erased = sorted(set(candidate.training_people) - known_people(registry))
    if erased:
        return Verdict((f"erased_people: {len(erased)} of those it was trained on are no longer registered",), ())
    trained_on = frozenset(candidate.training_people) | frozenset(incumbent.training_people if incumbent else ())
    return decide_classes(scorer, rival, windows, trained_on=trained_on, known=known)


def _incumbent(lake: Lake, incumbent: ModelVersion | None) -> tuple[ClassScorer | None, tuple[str, ...]]:
    """Load the version in force; one this code cannot load (other features) judges nobody."""
    if incumbent is None:
        return None, ()
    try:
        return load_class_scorer(incumbent.release, files_of(lake)), ()
    except ModelRefused as exc:
        return None, (f"the incumbent {incumbent.version} cannot be scored here ({exc})",)
