"""From labelled windows to a registered candidate: train once, judge by person and slice, keep figures and plots."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np

from wearables_platform.clients.lake import Lake
from wearables_platform.models.class_evaluate import (
    ClassJudgement,
    cross_validate_classes,
    judge_classes,
    random_split,
    tell_set,
)
from wearables_platform.models.class_predict import ClassScorer, load_class_scorer
from wearables_platform.models.class_set import ClassSet
from wearables_platform.models.class_train import (
    CLASS_CODE_VERSION,
    ClassParams,
    class_version,
    train_classes,
)
from wearables_platform.models.publishing import Trained, store_card
from wearables_platform.models.registry import ModelRegistry, ModelVersion, span_of
from wearables_platform.models.slices import Known, large_slices


def train_class_candidate(
    lake: Lake,
    registry: ModelRegistry,
    windows: ClassSet,
    known_of: Known,
    *,
    name: str,
    params: ClassParams,
    trained_at: datetime,
) -> Trained:
    """Train and evaluate a version and register it as a candidate; one already registered is left as it is."""
    known = registry.find(name, class_version(windows, params))
    if known is not None:
        return Trained(known, added=False)
    candidate = train_classes(windows, params, name)
    lake.put(candidate.lake_path, candidate.artifact)
    seen = windows.take(~windows.held_out)
    row = ModelVersion(
        name=name,
        version=candidate.description.version,
        state="candidate",
        sha256=candidate.sha256,
        lake_path=candidate.lake_path,
        feature_version=windows.feature_version,
        code_version=CLASS_CODE_VERSION,
        trained_at=trained_at,
        training_days=span_of(seen.days),
        training_people=tuple(seen.people),
    )
    scorer = load_class_scorer(row.draft_release(), lambda _path: candidate.artifact)
    row = replace(row, metrics=class_metrics(windows, known_of, params, scorer))
    store_card(lake, row)
    return Trained(row, added=registry.add(row))


def class_metrics(windows: ClassSet, known_of: Known, params: ClassParams, scorer: ClassScorer) -> dict[str, Any]:
    """Return every figure of a version: by person, on the held-out, by slice, and the random split as a warning."""
    warned = random_split(windows, params)
    return {
        "kind": "classes",
        "params": asdict(params),
        "training_set": {
            "sha256": windows.sha256,
            "windows": len(windows),
            "held_out_windows": int(windows.held_out.sum()),
            "people": len(windows.people),
            "said_by": sorted({str(one) for one in np.unique(windows.said_by)})[:20],
            "left_out": dict(windows.left_out),
        },
        "by_person": cross_validate_classes(windows, params).as_metrics(),
        "held_out": judge_held_out(scorer, windows).as_metrics(),
        "by_slice": {name: judged.summary() for name, judged in judge_slices(scorer, windows, known_of).items()},
        "random_split": {"accuracy": warned.accuracy, "macro_f1": warned.macro_f1},
    }


def judge_held_out(scorer: ClassScorer, windows: ClassSet, trained_on: frozenset[str] = frozenset()) -> ClassJudgement:
    """Judge a loaded version on the held-out people of a set, less those in `trained_on`: what a gate compares."""
    judges = judges_of(windows, trained_on)
    done, told, classes = tell_set(scorer, judges)
    return judge_classes(classes, done, told, judges.person)


def judge_slices(
    scorer: ClassScorer, windows: ClassSet, known: Known, trained_on: frozenset[str] = frozenset()
) -> dict[str, ClassJudgement]:
    """Judge a loaded version in every slice of the held-out people that is large enough to say something."""
    judges = judges_of(windows, trained_on)
    done, told, classes = tell_set(scorer, judges)
    rate = np.array([f"{rate:.0f} Hz" for rate in judges.rate_hz], dtype=np.str_)
    return {
        name: judge_classes(classes, done[chosen], told[chosen], judges.person[chosen])
        for name, chosen in large_slices(judges, known, rate)
    }


def judges_of(windows: ClassSet, trained_on: frozenset[str] = frozenset()) -> ClassSet:
    """Return the windows of the held-out people, less those in `trained_on`."""
    return windows.take(windows.held_out & ~np.isin(windows.person, sorted(trained_on) or [""]))
