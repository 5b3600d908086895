"""Scoring windows with a published model: loaded behind every check, the same bits in stream and batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.forest import FlatForest, flatten
from wearables_platform.models.inputs import MODEL_FEATURES, Matrix, feature_matrix, imputed, scorable
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.speed import check_usable
from wearables_platform.models.trial import check_description, check_probe
from wearables_platform.signals.windows import FEATURE_VERSION, WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

if TYPE_CHECKING:
    from wearables_platform.models.artifacts import ModelDescription

Floats = NDArray[np.float64]

MOST_COST: Final = 30.0
"""How many times the reference forest's cost a candidate may cost: thirty times the usual, of a core an eighth for a
thousand watches."""


@dataclass(frozen=True)
class Scorer:
    """One version of a model, ready to score; immutable, so threads may share it."""

    release: ModelRelease
    description: ModelDescription
    forest: FlatForest
    stand_in: Matrix

    @property
    def version(self) -> str:
        """The version rows scored with it must name."""
        return self.description.version

    @property
    def alarm_threshold(self) -> float:
        """Score from which a window is unusual: what 1 % of the training windows reached."""
        return self.description.alarm_threshold

    def is_of(self, release: ModelRelease) -> bool:
        """Tell whether a release names the very file this was loaded from."""
        mine = self.release
        return (mine.name, mine.version, mine.sha256) == (release.name, release.version, release.sha256)

    def score(self, rows: WindowRows) -> Floats:
        """Return (W,) anomaly scores in (0, 1], high where unusual; NaN for windows that `inputs.scorable` leaves out.

        A window's bits do not depend on the windows it is scored with.
        """
        scores = np.full(len(rows), np.nan)
        chosen = scorable(rows)
        if chosen.any():
            found = self._scores(feature_matrix(rows.take(np.flatnonzero(chosen))))
            scores[chosen] = np.where(np.isfinite(found), found, np.nan)  # who watches counts them; no reason to stop
        return scores

    def _scores(self, matrix: Matrix) -> Floats:
        return self.forest.anomaly_scores(imputed(matrix, self.stand_in))

    def score_matrix(self, matrix: Matrix) -> Floats:
        """Score (W, F) inputs; NaN inputs are replaced by the training medians the artefact carries.

        Raises `ModelRefused` where a score is no number.
        """
        scores = self._scores(matrix)
        if not np.isfinite(scores).all():
            raise refused(Refusal.NAN_OUTPUT, f"{self.description.name} {self.version} gave a score that is no number")
        return scores


def load_scorer(
    release: ModelRelease,
    read_bytes: Callable[[str], bytes],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Scorer:
    """Load the model a release names, or raise `ModelRefused` with the reason; the caller keeps the one it has.

    `read_bytes` takes a path relative to the lake's root. Takes some tens of milliseconds: call it off the hot path.
    """
    scorer = scorer_of(release, read_bytes(release.lake_path))
    check_probe(scorer, scorer.description.probe_scores)
    check_usable(scorer.score_matrix, scorer.description.probe_matrix(), clock)
    return scorer


def scorer_of(release: ModelRelease, data: bytes) -> Scorer:
    """Build the scorer from the model's file, refusing everything that is not what the release says."""
    if release.feature_version != FEATURE_VERSION:
        raise refused(Refusal.FOREIGN_FEATURES, f"made for version {release.feature_version}, here {FEATURE_VERSION}")
    # Here and not above: scikit-learn takes seconds to import, and a process without a model needs none of it.
    from wearables_platform.models.artifacts import read_artifact

    description, forest = read_artifact(data, release.sha256)
    check_description(description, release, MODEL_FEATURES)
    stand_in = np.array(description.stand_in, dtype=np.float32)
    return Scorer(release, description, flatten(forest, len(MODEL_FEATURES)), stand_in)


@dataclass(frozen=True)
class Unscored:
    """No version: what is in force after the first one was rolled back."""

    release: ModelRelease
    version: None = None

    def score(self, rows: WindowRows) -> Floats:
        """Return (W,) NaN."""
        return np.full(len(rows), np.nan)


@dataclass(frozen=True)
class ModelTimeline:
    """Versions of one model by event time: a window is scored by the one in force at its start, and says so.

    A version may be there more than once: a rollback puts the one before in force again.
    """

    scorers: tuple[Scorer | Unscored, ...] = ()

    @property
    def last(self) -> ModelRelease | None:
        """The release in force from the latest instant, None where there is none."""
        return self.scorers[-1].release if self.scorers else None

    @classmethod
    def of(cls, scorers: Sequence[Scorer | Unscored]) -> ModelTimeline:
        """Build the timeline from scorers in the order they were published; a later one wins a shared instant."""
        timeline = cls()
        for scorer in scorers:
            timeline = timeline.with_release(scorer)
        return timeline

    def with_release(self, scorer: Scorer | Unscored) -> ModelTimeline:
        """Return the timeline with one more version; one already there changes nothing."""
        if any(known.release == scorer.release for known in self.scorers):
            return self
        return ModelTimeline(tuple(sorted([*self.scorers, scorer], key=lambda one: one.release.effective_from_us)))

    def parts(
        self, rows: WindowRows, said: Sequence[str | None] = ()
    ) -> Iterator[tuple[Scorer | Unscored, NDArray[np.intp]]]:
        """Yield each version with the places of the windows it scores; where none was in force, nothing.

        `said` names, per window, the version the stream scored it by, where it did: that one counts.
        """
        starts = [scorer.release.effective_from_us for scorer in self.scorers]
        in_force = np.searchsorted(np.array(starts, dtype=np.int64), rows.start_us, side="right") - 1
        number_of = {scorer.version: number for number, scorer in enumerate(self.scorers)}
        for row, version in enumerate(said):
            if version is not None and version in number_of:
                in_force[row] = number_of[version]
        for number in np.unique(in_force[in_force >= 0]).tolist():
            yield self.scorers[number], np.flatnonzero(in_force == number)

    def score(self, rows: WindowRows, said: Sequence[str | None] = ()) -> tuple[Floats, list[str | None]]:
        """Return (W,) scores and the version that made each, as `parts` tells; NaN and None where there is none."""
        scores = np.full(len(rows), np.nan)
        versions: list[str | None] = [None] * len(rows)
        for scorer, chosen in self.parts(rows, said):
            whole = len(chosen) == len(rows)
            scores[chosen] = scorer.score(rows if whole else rows.take(chosen))
            for row in chosen:
                versions[row] = scorer.version
        return scores, versions
