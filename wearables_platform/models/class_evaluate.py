"""How well a model tells activities on people it has never seen: all by person, the random split as a warning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from wearables_platform.models.class_predict import ClassScorer
from wearables_platform.models.class_set import ClassSet
from wearables_platform.models.class_train import ClassParams, fit_classes
from wearables_platform.models.spans import Stretches, smoothed

MAX_FOLDS: Final = 5

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one activity among windows of unseen people; None where nothing of it was said or was there."""

    windows: int
    precision: float | None
    recall: float | None
    f1: float


@dataclass(frozen=True)
class ClassJudgement:
    """What a model did on windows of people it was not trained on.

    Attributes
    ----------
    classes : C names
    confusion : (C, C) counts, rows what was done, columns what was told
    accuracy, macro_f1 : over all windows; the F1 of an activity counts the same however rare it is
    by_class : name to figures
    accuracy_by_person, macro_f1_by_person : of each person's windows, over the activities that person did
    """

    classes: tuple[str, ...]
    confusion: Ints
    accuracy: float
    macro_f1: float
    by_class: dict[str, ClassFigures]
    accuracy_by_person: dict[str, float]
    macro_f1_by_person: dict[str, float]

    @property
    def windows(self) -> int:
        """Number of windows judged."""
        return int(self.confusion.sum())

    def summary(self) -> dict[str, float]:
        """Return the figures of all windows together."""
        people = len(self.accuracy_by_person)
        return {"windows": self.windows, "people": people, "accuracy": self.accuracy, "macro_f1": self.macro_f1}

    gate_figures = summary

    def as_metrics(self) -> dict[str, Any]:
        """Return the judgement as plain values for the registry."""
        return {
            **self.summary(),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "by_class": {name: vars(figures) for name, figures in self.by_class.items()},
            "accuracy_by_person": self.accuracy_by_person,
            "macro_f1_by_person": self.macro_f1_by_person,
        }


def judge_classes(classes: Sequence[str], done: Ints, told: Ints, person: NDArray[np.str_]) -> ClassJudgement:
    """Judge what was told of windows whose people the model does not know.

    Parameters
    ----------
    classes : C names
    done, told : (N,) indices into `classes`
    person : (N,) text
    """
    confusion = confusion_counts(done, told, len(classes))
    figures = {name: _figures(confusion, number) for number, name in enumerate(classes)}
    people = [str(one) for one in np.unique(person)]
    of_each = {one: confusion_counts(done[person == one], told[person == one], len(classes)) for one in people}
    return ClassJudgement(
        classes=tuple(classes),
        confusion=confusion,
        accuracy=_accuracy(confusion),
        macro_f1=_macro_f1(confusion),
        by_class=figures,
        accuracy_by_person={one: _accuracy(counts) for one, counts in of_each.items()},
        macro_f1_by_person={one: _macro_f1(counts) for one, counts in of_each.items()},
    )


def confusion_counts(done: Ints, told: Ints, n_classes: int) -> Ints:
    """Return the (C, C) counts, rows what was done, columns what was told."""
    return np.bincount(done * n_classes + told, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def cross_validate_classes(windows: ClassSet, params: ClassParams) -> ClassJudgement:
    """Judge the recipe on everyone it may train on, each person told by a model that has not seen them."""
    seen = windows.take(~windows.held_out)
    folds = min(MAX_FOLDS, len(seen.people))
    if folds < 2:
        return judge_classes(seen.classes, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.str_))
    return _judged(seen, GroupKFold(folds).split(seen.matrix, groups=seen.person), params)


def random_split(windows: ClassSet, params: ClassParams) -> ClassJudgement:
    """Judge one random fifth by a model that has seen those people's other windows: a warning, not a result."""
    seen = windows.take(~windows.held_out)
    fold = np.random.default_rng(params.seed).permutation(len(seen)) % MAX_FOLDS
    return _judged(seen, iter([(np.flatnonzero(fold != 0), np.flatnonzero(fold == 0))]), params)


def tell_set(scorer: ClassScorer, windows: ClassSet) -> tuple[Ints, Ints, tuple[str, ...]]:
    """Return (N,) what was done and what a loaded version tells, as indices into the classes of both together."""
    classes = tuple(sorted({*scorer.classes, *windows.classes}))
    stretches = Stretches.of(windows.device, windows.start_us)
    told = smoothed(scorer.score_matrix(windows.matrix), stretches).argmax(axis=1)
    of_scorer = np.searchsorted(classes, scorer.classes)
    done = np.searchsorted(classes, windows.label) if len(windows) else np.zeros(0)
    return done.astype(np.int64), of_scorer[told].astype(np.int64), classes


def _judged(seen: ClassSet, splits: Iterator[Fold], params: ClassParams) -> ClassJudgement:
    classes = seen.classes
    probability = np.full((len(seen), len(classes)), np.nan)
    for learn, test in splits:
        fitted = fit_classes(seen.matrix[learn], seen.label[learn], params)
        columns = np.searchsorted(classes, fitted.classes)
        # An activity only the people of this fold did cannot be told: it counts as never told, not as left out.
        probability[test] = 0.0
        probability[test[:, None], columns] = fitted.score(seen.matrix[test])
    judged = np.flatnonzero(~np.isnan(probability[:, 0])) if len(classes) else np.zeros(0, np.intp)
    told = smoothed(probability[judged], Stretches.of(seen.device[judged], seen.start_us[judged])).argmax(axis=1)
    done = np.searchsorted(classes, seen.label[judged])
    return judge_classes(classes, done.astype(np.int64), told.astype(np.int64), seen.person[judged])


def _figures(confusion: Ints, number: int) -> ClassFigures:
    right, done, told = confusion[number, number], confusion[number].sum(), confusion[:, number].sum()
    return ClassFigures(
        windows=int(done),
        precision=float(right / told) if told else None,
        recall=float(right / done) if done else None,
        f1=float(2 * right / (done + told)) if done + told else 0.0,
    )


def _accuracy(confusion: Ints) -> float:
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def _macro_f1(confusion: Ints) -> float:
    """Mean F1 over the activities that were done or told, as scikit-learn has it."""
    right, done, told = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there = done + told > 0
    return float((2 * right[there] / (done + told)[there]).mean()) if there.any() else 0.0
