"""From training set to version in force: train once, judge against the incumbent, publish or refuse, and say so.

Every step may be repeated. A version is named after what it was trained on, so training on the same data again finds
the version there; the registry is written before the topic, and the topic is brought in line with it on every run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from wearables_platform.clients.lake import Lake
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import ModelRefused
from wearables_platform.models import training_files
from wearables_platform.models.card import model_card
from wearables_platform.models.class_card import class_card
from wearables_platform.models.evaluate import Judgement, cross_validate, random_split_precision
from wearables_platform.models.gate import Verdict, decide
from wearables_platform.models.predict import Scorer, load_scorer
from wearables_platform.models.registry import ModelRegistry, ModelVersion, span_of
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.train import (
    MODEL_CODE_VERSION,
    ForestParams,
    candidate_version,
    train,
)
from wearables_platform.models.training_set import TrainingSet

ONE_WINDOW: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class Trained:
    """What a training run left: the version's row, and whether this run added it."""

    row: ModelVersion
    added: bool


@dataclass(frozen=True)
class Published:
    """What a publishing run decided.

    `action`: published, refused, or unchanged (there was no candidate); `row` is the version in force afterwards, or
    the refused candidate; `announced` says whether the topic got a record now.
    """

    action: Literal["published", "refused", "unchanged"]
    row: ModelVersion | None
    verdict: Verdict | None = None
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
    """Judge the newest candidate and publish or refuse it; then make the topic say what the registry says.

    `effective_from` is the event time from which windows are scored with it, by default the end of the data it was
    trained on; it is never before that of the version it replaces, whose scores stand.
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


def _publish_newest(
    lake: Lake, registry: ModelRegistry, log: ReleaseLog, name: str, effective_from: datetime | None
) -> Published:
    candidates = registry.candidates(name)
    if not candidates:
        incumbent = registry.published(name)
        announced = incumbent is not None and log.ensure(incumbent.release)
        return Published("unchanged", incumbent, announced=announced)
    for older in candidates[:-1]:
        registry.refuse(older, f"superseded: {candidates[-1].version} was trained after it", older.metrics)
    return _decide(lake, registry, log, candidates[-1], effective_from)


def _decide(
    lake: Lake, registry: ModelRegistry, log: ReleaseLog, candidate: ModelVersion, effective_from: datetime | None
) -> Published:
    incumbent = registry.published(candidate.name)
    try:
        scorer = load_scorer(candidate.draft_release(), lake.get)
    except ModelRefused as exc:
        return Published("refused", registry.refuse(candidate, str(exc), candidate.metrics))
    judged_on = training_files.load(lake, candidate.name, scorer.description.training_sha256).training_set
    verdict = _verdict(lake, scorer, candidate, incumbent, judged_on, known_people(registry))
    metrics = {**candidate.metrics, "gate": verdict.as_metrics()}
    if not verdict.passed:
        return Published("refused", registry.refuse(candidate, "; ".join(verdict.refusals), metrics), verdict)
    instant = effective_from or from_us(judged_on.end_us)
    if incumbent is not None and incumbent.effective_from is not None:
        instant = max(instant, incumbent.effective_from + ONE_WINDOW)
    row = registry.publish(candidate, instant, metrics)
    return Published("published", row, verdict, announced=log.ensure(row.release))


def _verdict(
    lake: Lake,
    scorer: Scorer,
    candidate: ModelVersion,
    incumbent: ModelVersion | None,
    judged_on: TrainingSet,
    known: frozenset[str],
) -> Verdict:
    erased = sorted(set(candidate.training_people) - known)
    if erased:
        return Verdict((f"erased_people: {len(erased)} of those it was trained on are no longer registered",), ())
    rival, warnings = _incumbent_scorer(lake, incumbent)
    trained_on = frozenset(candidate.training_people) | frozenset(incumbent.training_people if incumbent else ())
    aim = float(candidate.metrics["params"]["alarm_rate"])
    verdict = decide(scorer, rival, judged_on, trained_on=trained_on, alarm_rate=aim)
    return replace(verdict, warnings=(*verdict.warnings, *warnings))


def known_people(registry: ModelRegistry) -> frozenset[str]:
    """Return everyone who is in the registry of people now."""
    return frozenset(wear.participant_id for wear in registry.wears())


def _incumbent_scorer(lake: Lake, incumbent: ModelVersion | None) -> tuple[Scorer | None, tuple[str, ...]]:
    """Load the version in force; one this code cannot load (other features, other libraries) judges nobody."""
    if incumbent is None:
        return None, ()
    try:
        return load_scorer(incumbent.release, lake.get), ()
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
