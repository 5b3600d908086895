"""How well activities are told on real recordings, always by person; what a random split claims is shown beside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from wearables_platform.domain.labels import label_name, spans_of_labels
from wearables_platform.models.class_evaluate import ClassJudgement, judge_classes
from wearables_platform.models.class_set import ClassSet, assemble_classes
from wearables_platform.models.class_train import ClassParams, fit_classes
from wearables_platform.models.labels import Label
from wearables_platform.models.spans import Stretches, smoothed
from wearables_platform.models.training_set import Wear
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import FEATURE_VERSION, compute_windows
from wearables_platform_tests.recordings import shared_path, spsw_watch

Folds = Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]
PARAMS = ClassParams(n_trees=60)

# Of the five: sitting still, getting up or down, on foot.
OF_THREE = {
    "seated": "seated",
    "sitting_down": "changing",
    "standing_up": "changing",
    "turning": "on_foot",
    "walking": "on_foot",
}


@cache
def watch_windows() -> ClassSet:
    """One-second windows of 16 people, as the platform makes them, with the labels as it reads them."""
    recordings = spsw_watch()
    ids = [recording.name for recording in recordings]
    tables = [
        SampleTable.build(device=number, time_us=one.time_us, rate_hz=one.rate_hz, accel_g=one.accel_g)
        for number, one in enumerate(recordings)
    ]
    labels = [
        Label(None, one.name, span.label, span.start_us, span.end_us, "protocol")
        for one in recordings
        if one.labels is not None
        for span in spans_of_labels(one.time_us, [label_name(text) for text in one.labels], round(1e6 / one.rate_hz))
    ]
    wears = [Wear(name, name.partition("_")[0], 0, 2**62) for name in ids]
    rows = compute_windows(SampleTable.concat(tables).sorted())
    return assemble_classes(rows, ids, wears, labels, FEATURE_VERSION)


def judged(
    matrix: NDArray[np.float32],
    label: NDArray[np.str_],
    person: NDArray[np.str_],
    folds: Folds,
    stretches: Stretches | None = None,
    grouped: dict[str, str] | None = None,
) -> ClassJudgement:
    """Judge our recipe on folds; `grouped` joins activities after they are told, by adding up their probabilities."""
    classes = sorted(set(label.tolist()))
    probability = np.zeros((len(label), len(classes)))
    for learn, test in folds:
        fitted = fit_classes(matrix[learn], label[learn], PARAMS)
        probability[test[:, None], np.searchsorted(classes, fitted.classes)] = fitted.score(matrix[test])
    if stretches is not None:
        probability = smoothed(probability, stretches)
    done = np.searchsorted(classes, label)
    if grouped is not None:
        names = sorted(set(grouped.values()))
        into = np.array([names.index(grouped[name]) for name in classes])
        probability = np.column_stack([probability[:, into == number].sum(axis=1) for number in range(len(names))])
        classes, done = names, into[done]
    return judge_classes(classes, done.astype(np.int64), probability.argmax(axis=1), person)


def report(name: str, found: ClassJudgement) -> None:
    """What was found, for whoever runs with -rA."""
    worst = min(found.macro_f1_by_person.values())
    print(  # noqa: T201
        f"{name}: accuracy {found.accuracy:.3f}, macro-F1 {found.macro_f1:.3f} (worst person {worst:.3f}), "
        f"{len(found.accuracy_by_person)} people, {found.windows} windows"
    )


def by_person(windows: ClassSet, grouped: dict[str, str] | None = None) -> ClassJudgement:
    folds = LeaveOneGroupOut().split(windows.matrix, groups=windows.person)
    stretches = Stretches.of(windows.device, windows.start_us)
    return judged(windows.matrix, windows.label, windows.person, folds, stretches, grouped)


def test_three_activities_of_a_smartwatch_are_told_by_person() -> None:
    found = by_person(watch_windows(), OF_THREE)
    report("spsw, 3 classes", found)
    assert len(found.accuracy_by_person) == 16
    assert found.accuracy >= 0.87
    assert found.macro_f1 >= 0.82


def test_five_activities_of_a_smartwatch_are_told_by_person_and_a_random_split_flatters() -> None:
    windows = watch_windows()
    found = by_person(windows)
    fold = np.random.default_rng(1).permutation(len(windows)) % 5
    random = ((np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(5))
    flattering = judged(windows.matrix, windows.label, windows.person, random)
    report("spsw, 5 classes", found)
    report("spsw, 5 classes, RANDOM SPLIT (a warning)", flattering)
    assert found.macro_f1 >= 0.64
    assert set(found.by_class) == set(OF_THREE)
    assert min(figures.f1 for figures in found.by_class.values()) > 0.5


def minutes(device: str) -> tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.str_]]:
    """Features, activity and person of one maker's minutes; people are told apart by age, sex, height and weight."""
    frame = pd.read_csv(shared_path("applewatch-fitbit-activity/aw_fb_data.csv.gz"))
    frame = frame[frame["device"] == device]
    who = frame[["age", "gender", "height", "weight"]].astype(str).agg("-".join, axis=1)
    measured = frame.drop(columns=["Unnamed: 0", "X1", "age", "gender", "height", "weight", "device", "activity"])
    activity = frame["activity"].to_numpy(dtype=object).astype(np.str_)
    return measured.to_numpy(dtype=np.float32), activity, who.to_numpy(dtype=object).astype(np.str_)


def minutes_by_person(device: str) -> ClassJudgement:
    matrix, activity, person = minutes(device)
    return judged(matrix, activity, person, GroupKFold(10).split(matrix, groups=person))


def test_minutes_of_a_fitbit_are_told_by_person() -> None:
    found = minutes_by_person("fitbit")
    report("Fitbit minutes", found)
    assert found.accuracy >= 0.74


def test_minutes_of_an_apple_watch_are_reported_and_better_than_guessing_only() -> None:
    found = minutes_by_person("apple watch")
    report("Apple Watch minutes", found)
    often = found.confusion.sum(axis=1).max() / found.windows
    assert found.accuracy > often


@pytest.mark.parametrize("text", ["", "42", "_"])
def test_what_is_no_label_is_said_so(text: str) -> None:
    with pytest.raises(ValueError, match="is none"):
        label_name(text)
