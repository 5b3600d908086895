"""Unusual periods: windows over a version's alarm threshold, joined, with what made them so for this person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.inputs import MODEL_FEATURES, Matrix
from wearables_platform.models.predict import Scorer
from wearables_platform.models.training_set import TrainingSet
from wearables_platform.signals.windows import WINDOW_US

JOINED_S: Final = 3
"""Alarms no further apart are one period."""

NAMED_FEATURES: Final = 3

MIN_OWN_WINDOWS: Final = 300
"""With fewer minutes than five of a person, what is usual for everyone says more."""

MAD_TO_SD: Final = 1.4826
MEAN_DEVIATION_TO_SD: Final = 1.2533

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Baseline:
    """What is usual: per feature the median and a robust standard deviation, and how the windows score.

    Attributes
    ----------
    kind : the person's own windows, or everyone's
    median, spread : (F,) float64; a spread of 0 where a feature never changes
    scores : (N,) float64, ascending
    """

    kind: Literal["own", "everyone"]
    median: Floats
    spread: Floats
    scores: Floats

    @classmethod
    def of(cls, kind: Literal["own", "everyone"], matrix: Matrix, scores: Floats) -> Baseline:
        """Summarize (N, F) windows."""
        values = matrix.astype(np.float64)
        known = ~np.isnan(values)
        columns = [values[known[:, number], number] for number in range(values.shape[1])]
        median = np.array([np.median(column) if len(column) else np.nan for column in columns])
        spread = np.array([_spread(column, middle) for column, middle in zip(columns, median, strict=True)])
        return cls(kind, median, spread, np.sort(scores))

    def robust_z(self, row: Floats) -> Floats:
        """Return how many robust standard deviations each feature of a window lies from the median; NaN is unknown."""
        return np.where(self.spread > 0, (row - self.median) / np.where(self.spread > 0, self.spread, 1.0), np.nan)

    def share_below(self, score: float) -> float:
        """Return the share of the windows that score below."""
        return float(np.searchsorted(self.scores, score, side="left") / len(self.scores))


@dataclass
class Baselines:
    """Baselines of one version, from the windows of its training set; each person's is made when first asked for."""

    scorer: Scorer
    windows: TrainingSet
    _made: dict[str, Baseline] = field(default_factory=dict)

    def of(self, person: str) -> Baseline | None:
        """Return a person's baseline, everyone's where there is too little of that person; None without windows."""
        own = self.windows.person == person
        key = person if own.sum() >= MIN_OWN_WINDOWS else ""
        if key not in self._made and len(self.windows):
            chosen = self.windows.take(own) if key else self.windows
            scores = self.scorer.score_matrix(chosen.matrix)
            self._made[key] = Baseline.of("own" if key else "everyone", chosen.matrix, scores)
        return self._made.get(key)


@dataclass(frozen=True)
class Reason:
    """A feature that made a window unusual: its value, the baseline's median, and how far apart they are."""

    feature: str
    value: float
    median: float
    robust_z: float


def reasons(row: Floats, baseline: Baseline) -> list[Reason]:
    """Return the features of a window that lie furthest from the baseline, the furthest first."""
    z = baseline.robust_z(row)
    order = np.argsort(-np.abs(np.where(np.isnan(z), 0.0, z)), kind="stable")[:NAMED_FEATURES]
    return [
        Reason(MODEL_FEATURES[number], float(row[number]), float(baseline.median[number]), float(z[number]))
        for number in order
        if np.isfinite(z[number]) and z[number] != 0
    ]


def join_alarms(keys: Ints, start_us: Ints) -> list[NDArray[np.intp]]:
    """Return the rows of each period: alarms of equal (W, K) keys, no further apart than `JOINED_S`."""
    if not len(start_us):
        return []
    other = (keys[1:] != keys[:-1]).any(axis=1) | (np.diff(start_us) > JOINED_S * WINDOW_US)
    return np.split(np.arange(len(start_us)), np.flatnonzero(other) + 1)


def _spread(column: Floats, median: float) -> float:
    """Return the median absolute deviation as a standard deviation; of counts that are mostly 0, the mean one."""
    if not len(column):
        return 0.0
    away = np.abs(column - median)
    return float(MAD_TO_SD * np.median(away) or MEAN_DEVIATION_TO_SD * away.mean())
