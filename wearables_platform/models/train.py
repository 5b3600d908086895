"""Train a candidate: the same training set, parameters and versions give the same file, byte for byte."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from wearables_platform.models.artifacts import ModelDescription, write_artifact
from wearables_platform.models.forest import flatten
from wearables_platform.models.inputs import ACTIVITY_ANOMALY, MODEL_FEATURES, Matrix, imputed, medians
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.training_set import TrainingSet

MODEL_CODE_VERSION: Final = "2"
"""Changes whenever the same training set would give another model, or the same model another score."""

MIN_TRAINING_WINDOWS: Final = 256
"""A tree draws this many windows; fewer cannot say what is usual."""

PROBE_ROWS: Final = 64


@dataclass(frozen=True)
class ForestParams:
    """What a forest is grown with, besides the data.

    1,024 windows a tree: on recordings with planted pushes, tremor, shaking and stillness every kind stood out more
    than with the usual 256, at half as much time again per window.
    """

    n_trees: int = 100
    max_samples: int = 1_024
    seed: int = 20_250_101
    alarm_rate: float = 0.01


@dataclass(frozen=True)
class Fitted:
    """A forest with what it needs to score: the stand-ins for missing numbers and the score that is an alarm."""

    forest: IsolationForest
    stand_in: Matrix
    alarm_threshold: float

    def score(self, matrix: Matrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Score (W, F) inputs exactly as a published model does."""
        return flatten(self.forest, matrix.shape[1]).anomaly_scores(imputed(matrix, self.stand_in))


@dataclass(frozen=True)
class Candidate:
    """A trained model as it will be stored."""

    description: ModelDescription
    artifact: bytes

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.artifact).hexdigest()

    @property
    def lake_path(self) -> str:
        """Where the file belongs, relative to the lake's root."""
        return f"models/{self.description.name}/{self.description.version}.skops"


def fit(matrix: Matrix, params: ForestParams, is_event: NDArray[np.bool_] | None = None) -> Fitted:
    """Grow a forest on (N, F) inputs; NaN inputs are replaced by the column's median, which the model remembers.

    Known events teach nothing of what is usual: the trees are grown without them. They count for the alarm threshold,
    which is a share of all windows.
    """
    stand_in = medians(matrix)
    filled = imputed(matrix, stand_in)
    usual = filled if is_event is None or is_event.all() else filled[~is_event]
    forest = IsolationForest(
        n_estimators=params.n_trees, max_samples=min(params.max_samples, len(usual)), random_state=params.seed
    ).fit(usual)
    scores = flatten(forest, matrix.shape[1]).anomaly_scores(filled)
    return Fitted(forest, stand_in, float(np.quantile(scores, 1.0 - params.alarm_rate)))


def candidate_version(training_set: TrainingSet, params: ForestParams) -> str:
    """Return the version a training run would have: the set's last day and a digest of all that decides the model."""
    decides = {
        "set": training_set.sha256,
        "params": asdict(params),
        "code": MODEL_CODE_VERSION,
        "sklearn": sklearn.__version__,
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"{training_set.days[-1] if len(training_set) else 'empty'}-{digest[:12]}"


def train(training_set: TrainingSet, params: ForestParams | None = None, name: str = ACTIVITY_ANOMALY) -> Candidate:
    """Train on everyone who is not held out; `ModelRefused` where there is too little to learn from."""
    params = params or ForestParams()
    seen = training_set.take(~training_set.held_out)
    if len(seen) < MIN_TRAINING_WINDOWS:
        raise refused(Refusal.TOO_LITTLE_DATA, f"{len(seen)} clean windows, {MIN_TRAINING_WINDOWS} needed")
    fitted = fit(seen.matrix, params, seen.is_event)
    probe = _probe(seen.matrix)
    description = ModelDescription(
        name=name,
        version=candidate_version(training_set, params),
        feature_version=training_set.feature_version,
        model_code_version=MODEL_CODE_VERSION,
        sklearn_version=sklearn.__version__,
        features=MODEL_FEATURES,
        stand_in=tuple(fitted.stand_in.tolist()),
        alarm_threshold=fitted.alarm_threshold,
        n_trees=params.n_trees,
        max_samples=int(fitted.forest.max_samples_),
        seed=params.seed,
        training_sha256=training_set.sha256,
        probe=tuple(map(tuple, imputed(probe, fitted.stand_in).tolist())),
        probe_scores=tuple(fitted.score(probe).tolist()),
    )
    return Candidate(description, write_artifact(description, fitted.forest))


def _probe(matrix: Matrix) -> Matrix:
    """Return rows from the usual to the extreme: evenly spread in the order of the largest magnitude."""
    order = np.argsort(matrix[:, MODEL_FEATURES.index("vm_max_g")], kind="stable")
    return matrix[order[np.linspace(0, len(order) - 1, PROBE_ROWS).astype(np.intp)]]
