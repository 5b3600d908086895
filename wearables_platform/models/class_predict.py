"""Telling what a second's movement is, with a published model: loaded behind every check, the same bits anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.errors import ModelRefused, StoreRefused
from wearables_platform.models.class_artifacts import ClassDescription, read_class_artifact
from wearables_platform.models.class_forest import ClassForest
from wearables_platform.models.inputs import Matrix, imputed
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.spans import SPAN_FEATURES, Stretches, smoothed, span_matrix
from wearables_platform.models.speed import check_usable
from wearables_platform.models.trial import check_description, check_probe
from wearables_platform.signals.windows import FEATURE_VERSION, WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

Floats = NDArray[np.float64]

MOST_COST: Final = 30.0
"""How many times the reference forest's cost a candidate may cost: about a dozen times the usual."""


@dataclass(frozen=True)
class Told:
    """What a model says of W windows.

    Attributes
    ----------
    number : (W,) int64
        Index into the model's classes; -1 where there is too little movement in the window to say.
    confidence : (W,) float64
        Probability of that class, smoothed; NaN where there is none.
    """

    number: NDArray[np.int64]
    confidence: Floats


@dataclass(frozen=True)
class ClassScorer:
    """One version of a model, ready to tell; immutable, so threads may share it."""

    release: ModelRelease
    description: ClassDescription
    forest: ClassForest
    stand_in: Matrix

    @property
    def version(self) -> str:
        """The version rows told by it must name."""
        return self.description.version

    @property
    def classes(self) -> tuple[str, ...]:
        """What it can tell apart."""
        return self.description.classes

    def tell(self, rows: WindowRows) -> Told:
        """Tell the class of every window.

        Parameters
        ----------
        rows : WindowRows
            Sorted by (device, start_us). A window's answer depends on the seconds within `REACH_S` + 1 of it, so give
            those too and drop them afterwards.
        """
        probability = self.probabilities(rows)
        known = ~np.isnan(probability[:, 0])
        number = np.where(known, np.argmax(np.where(known[:, None], probability, 0.0), axis=1), -1)
        confidence = np.where(known, probability[np.arange(len(rows)), number], np.nan)
        return Told(number.astype(np.int64), confidence)

    def probabilities(self, rows: WindowRows) -> Floats:
        """Return the (W, C) smoothed probabilities; NaN for windows that `inputs.scorable` leaves out."""
        matrix, usable = span_matrix(rows)
        found = np.full((len(rows), len(self.classes)), np.nan)
        chosen = np.flatnonzero(usable)
        if len(chosen):
            stretches = Stretches.of(rows.device[chosen], rows.start_us[chosen])
            found[chosen] = smoothed(self.score_matrix(matrix[chosen]), stretches)
        return found

    def score_matrix(self, matrix: Matrix) -> Floats:
        """Return (W, C) probabilities of (W, F) inputs, not smoothed; NaN inputs count as the training medians."""
        return self.forest.probabilities(imputed(matrix, self.stand_in))


def load_class_scorer(
    release: ModelRelease,
    read_bytes: Callable[[str], bytes],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> ClassScorer:
    """Load the model a release names, or raise `ModelRefused` with the reason.

    `read_bytes` takes a path relative to the lake's root.
    """
    if release.feature_version != FEATURE_VERSION:
        raise refused(Refusal.FOREIGN_FEATURES, f"made for version {release.feature_version}, here {FEATURE_VERSION}")
    description, forest = read_class_artifact(read_bytes(release.lake_path), release.sha256)
    check_description(description, release, SPAN_FEATURES)
    scorer = ClassScorer(release, description, forest, np.array(description.stand_in, dtype=np.float32))
    check_probe(scorer, description.probe_probabilities)
    check_usable(scorer.score_matrix, scorer.description.probe_matrix(), clock)
    return scorer


@dataclass(frozen=True)
class ClassTimeline:
    """Versions of a model by event time: a window is told by the one in force at its start.

    Attributes
    ----------
    from_us : rising instants from which each is in force
    scorers : as many; None where from that instant on no version is
    """

    from_us: tuple[int, ...] = ()
    scorers: tuple[ClassScorer | None, ...] = ()

    def scorer(self, number: int) -> ClassScorer:
        """Return the version that told a window."""
        found = self.scorers[number]
        assert found is not None
        return found

    def tell(self, rows: WindowRows) -> tuple[NDArray[np.int64], Told]:
        """Return which of `scorers` told each window (-1: none was in force), and what it told.

        `rows` as in `ClassScorer.tell`; a window's span may reach over a change of version, its answer is of one.
        """
        starts = np.array(self.from_us, dtype=np.int64)
        in_force = (np.searchsorted(starts, rows.start_us, side="right") - 1).astype(np.int64)
        for nobody in [number for number, scorer in enumerate(self.scorers) if scorer is None]:
            in_force[in_force == nobody] = -1
        number, confidence = np.full(len(rows), -1, dtype=np.int64), np.full(len(rows), np.nan)
        for version in np.unique(in_force[in_force >= 0]):
            mine, told = in_force == version, self.scorer(version).tell(rows)
            number[mine], confidence[mine] = told.number[mine], told.confidence[mine]
        return in_force, Told(number, confidence)


def load_class_timeline(
    releases: Sequence[ModelRelease], read_bytes: Callable[[str], bytes]
) -> tuple[ClassTimeline, dict[str, str]]:
    """Load every version that was ever in force, and say which were refused and why.

    The version before a refused one stays in force in its place; a release that names no version ends all.
    """
    from_us: list[int] = []
    scorers: list[ClassScorer | None] = []
    refusals: dict[str, str] = {}
    for release in sorted(releases, key=lambda one: one.effective_from_us):
        try:
            scorers.append(load_class_scorer(release, read_bytes) if release.version else None)
            from_us.append(release.effective_from_us)
        except (ModelRefused, StoreRefused) as exc:
            refusals[release.version] = str(exc)
    return ClassTimeline(tuple(from_us), tuple(scorers)), refusals
