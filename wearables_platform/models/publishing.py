"""From training set to shadow run: train once, judge against the incumbent, let run in shadow or refuse, and say so.

Every step may be repeated. A version is named after what it was trained on, so training on the same data again finds
the version there; the registry is written before the topic, and the topic is brought in line with it on every run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from wearables_platform.clients.lake import Lake
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import ModelRefused
from wearables_platform.models import training_files
from wearables_platform.models.archives import files_of
from wearables_platform.models.card import model_card
from wearables_platform.models.class_card import class_card
from wearables_platform.models.evaluate import Judgement, cross_validate, random_split_precision
from wearables_platform.models.gate import decide
from wearables_platform.models.live_scores import reference_of
from wearables_platform.models.predict import MOST_COST, Scorer, load_scorer
from wearables_platform.models.refusal import Refusal
from wearables_platform.models.registry import ModelRegistry, ModelVersion, span_of
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.slices import read_known
from wearables_platform.models.speed import check_cost
from wearables_platform.models.train import (
    MODEL_CODE_VERSION,
    ForestParams,
    candidate_version,
    train,
)
from wearables_platform.models.training_set import MEASURED, TrainingSet
from wearables_platform.models.verdict import Verdict

FIRST: Final = "the first version: nothing is in force that it could be compared with"


@dataclass(frozen=True)
class Trained:
    """What a training run left: the version's row, and whether this run added it."""

    row: ModelVersion
    added: bool


@dataclass(frozen=True)
class Published:
    """What a publishing run decided.

    `action`: in_force (the first version), shadow, refused, or unchanged (there was no candidate); `row` is the version
    decided on, or the one in force where there was none; `announced` says whether the topic got a record now.
    """

    action: Literal["in_force", "shadow", "refused", "unchanged"]
    row: ModelVersion | None
    verdict: Verdict[Judgement] | None = None
    announced: bool = False


def train_candidate(
    lake: Lake,
    registry: ModelRegistry,
    training_set: TrainingSet,
    *,
    name: str,
    params: ForestParams,
    trained_at: datetime,
) -> Trained:
    """Train and evaluate a version and register it as a candidate; one already registered is left as it is."""
    known = registry.find(name, candidate_version(training_set, params))
    if known is not None:
        return Trained(known, added=False)
    candidate = train(training_set, params, name)
    lake.put(candidate.lake_path, candidate.artifact)
    seen = training_set.take(~training_set.held_out)
    row = ModelVersion(
        name=name,
        version=candidate.description.version,
        state="candidate",
        sha256=candidate.sha256,
        lake_path=candidate.lake_path,
        feature_version=training_set.feature_version,
        code_version=MODEL_CODE_VERSION,
        trained_at=trained_at,
        training_days=span_of(training_set.days),
        training_people=tuple(seen.people),
        metrics=_training_metrics(training_set, params, candidate.description.alarm_threshold),
    )
    store_card(lake, row)
    return Trained(row, added=registry.add(row))


def publish_candidate(
    lake: Lake,
    registry: ModelRegistry,
    log: ReleaseLog,
    *,
    name: str,
    effective_from: datetime | None = None,
) -> Published:
    """Judge the newest candidate; let it run in shadow or refuse it; then make the topic say what the registry says.

    Where no version was ever in force there is nothing to protect and nothing to compare live scores with: the first
    one that passes is in force at once, from the event time `effective_from`, by default the end of the data it was
    trained on. Every other one goes through `promotion`.
    """
    published = _publish_newest(lake, registry, log, name, effective_from)
    if published.row is not None and published.action != "unchanged":
        store_card(lake, published.row)
    return published


def store_card(lake: Lake, row: ModelVersion) -> None:
    """Write a version's card beside its artefact."""
    card = class_card(row) if row.metrics.get("kind") == "classes" else model_card(row)
    lake.put(card_path(row), card.encode())


def card_path(row: ModelVersion) -> str:
    """Return where a version's card lies, relative to the lake's root."""
    return f"{row.lake_path.rpartition('.')[0]}.md"


def announce(registry: ModelRegistry, log: ReleaseLog, name: str) -> bool:
    """Bring the topic in line with the registry; returns whether it got a record now."""
    shadow = registry.shadow(name)
    return log.align(name, registry.releases(name), shadow.shadow_release() if shadow else None)


def _publish_newest(
    lake: Lake, registry: ModelRegistry, log: ReleaseLog, name: str, effective_from: datetime | None
) -> Published:
    candidates = registry.candidates(name)
    if not candidates:
        return Published("unchanged", registry.in_force(name), announced=announce(registry, log, name))
    for older in candidates[:-1]:
        registry.refuse(older, f"superseded: {candidates[-1].version} was trained after it", older.metrics)
    decided = _decide(lake, registry, candidates[-1], effective_from)
    return replace(decided, announced=announce(registry, log, name))


def _decide(lake: Lake, registry: ModelRegistry, candidate: ModelVersion, effective_from: datetime | None) -> Published:
    try:
        scorer = load_scorer(candidate.draft_release(), files_of(lake))
        check_cost(scorer.score_matrix, scorer.description.probe_matrix(), MOST_COST)
        judged_on = training_files.load(lake, candidate.name, scorer.description.training_sha256).training_set
        reference = reference_of(scorer.score_matrix(judged_on.matrix), scorer.alarm_threshold)
    except ModelRefused as exc:
        return Published("refused", registry.refuse(candidate, str(exc), candidate.metrics))
    verdict = _verdict(lake, scorer, candidate, registry, judged_on)
    metrics = {**candidate.metrics, "gate": verdict.as_metrics()}
    if not verdict.passed:
        return Published("refused", registry.refuse(candidate, "; ".join(verdict.refusals), metrics), verdict)
    metrics["live_reference"] = reference
    if registry.releases(candidate.name):
        why = f"passed the gate against {verdict.compared_with or 'no incumbent that can be scored'}"
        return Published("shadow", registry.enter_shadow(candidate, metrics, why), verdict)
    instant = effective_from or from_us(judged_on.end_us)
    return Published("in_force", registry.put_in_force(candidate, lambda: instant, metrics, FIRST), verdict)


def _verdict(
    lake: Lake,
    scorer: Scorer,
    candidate: ModelVersion,
    registry: ModelRegistry,
    judged_on: TrainingSet,
) -> Verdict[Judgement]:
    incumbent = registry.in_force(candidate.name)
    unfit = lineage_refusals(candidate, known_people(registry), judged_on.events_from)
    if unfit:
        return Verdict(tuple(unfit), ())
    rival, warnings = _incumbent_scorer(lake, incumbent, judged_on)
    trained_on = frozenset(candidate.training_people) | frozenset(incumbent.training_people if incumbent else ())
    aim = float(candidate.metrics["params"]["alarm_rate"])
    known = read_known(registry.sql, lake, judged_on)
    verdict = decide(scorer, rival, judged_on, trained_on=trained_on, alarm_rate=aim, known=known)
    return replace(verdict, warnings=(*verdict.warnings, *warnings))


def lineage_refusals(candidate: ModelVersion, known: frozenset[str], events_from: Collection[str]) -> list[str]:
    """Return why a version must not have learnt from what it did: people erased since, or what models said."""
    found = []
    erased = sorted(set(candidate.training_people) - known)
    if erased:
        found.append(f"erased_people: {len(erased)} of those it was trained on are no longer registered")
    foreign = sorted(set(events_from) - MEASURED)
    if foreign:
        found.append(f"{Refusal.OWN_OUTPUTS}: the training set's events are from {', '.join(foreign)}")
    return found


def known_people(registry: ModelRegistry) -> frozenset[str]:
    """Return everyone who is in the registry of people now."""
    return frozenset(wear.participant_id for wear in registry.wears())


def _incumbent_scorer(
    lake: Lake, incumbent: ModelVersion | None, judged_on: TrainingSet
) -> tuple[Scorer | None, tuple[str, ...]]:
    """Load the version in force; one that cannot score here (other features, other libraries) judges nobody."""
    if incumbent is None:
        return None, ()
    try:
        scorer = load_scorer(incumbent.release, files_of(lake))
        scorer.score_matrix(judged_on.matrix)  # raises where a score is no number
        return scorer, ()
    except ModelRefused as exc:
        return None, (f"the incumbent {incumbent.version} cannot be scored here ({exc})",)


def _training_metrics(training_set: TrainingSet, params: ForestParams, alarm_threshold: float) -> Mapping[str, Any]:
    by_person: Judgement = cross_validate(training_set, params)
    return {
        "params": asdict(params),
        "alarm_threshold": alarm_threshold,
        "training_set": {
            "sha256": training_set.sha256,
            "windows": len(training_set),
            "held_out_windows": int(training_set.held_out.sum()),
            "events": int(training_set.is_event.sum()),
            "people": len(training_set.people),
        },
        "by_person": by_person.as_metrics(),
        "random_split_average_precision": random_split_precision(training_set, params),
    }
