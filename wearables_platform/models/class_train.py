"""Train a candidate that tells activities: the same set, parameters and versions give the same file, byte for byte."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from wearables_platform.models.class_artifacts import ClassDescription, write_class_artifact
from wearables_platform.models.class_forest import ClassForest
from wearables_platform.models.class_set import MIN_PEOPLE_PER_CLASS, ClassSet
from wearables_platform.models.inputs import Matrix, imputed, medians
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.spans import SPAN_FEATURES

ACTIVITY_CLASS: Final = "activity_class"

CLASS_CODE_VERSION: Final = "1"
"""Changes whenever the same set would give another model, or the same model another answer."""

MIN_LABELLED_WINDOWS: Final = 256
PROBE_ROWS: Final = 32


@dataclass(frozen=True)
class ClassParams:
    """What the forest is grown with, besides the data.

    Extremely randomised trees did as well by person as a random forest and better than boosting, at a third of the
    cost. Two windows a leaf: with one, a leaf is a person's own habit.
    """

    n_trees: int = 100
    min_leaf: int = 2
    seed: int = 20_250_101


@dataclass(frozen=True)
class FittedClasses:
    """A forest with the stand-ins for missing numbers, and what its columns mean."""

    forest: ClassForest
    stand_in: Matrix
    classes: tuple[str, ...]

    def score(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return (W, C) probabilities exactly as a published model does, before smoothing."""
        return self.forest.probabilities(imputed(matrix, self.stand_in))


@dataclass(frozen=True)
class ClassCandidate:
    """A trained model as it will be stored."""

    description: ClassDescription
    artifact: bytes

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.artifact).hexdigest()

    @property
    def lake_path(self) -> str:
        """Where the file belongs, relative to the lake's root."""
        return f"models/{self.description.name}/{self.description.version}.trees"


def fit_classes(matrix: Matrix, label: NDArray[np.str_], params: ClassParams) -> FittedClasses:
    """Grow a forest on (N, F) inputs; NaN inputs are replaced by the column's median, which the model remembers."""
    stand_in = medians(matrix)
    grown = ExtraTreesClassifier(
        n_estimators=params.n_trees,
        min_samples_leaf=params.min_leaf,
        class_weight="balanced",  # a rare activity must not be told away by a common one
        random_state=params.seed,
    ).fit(imputed(matrix, stand_in), label)
    return FittedClasses(ClassForest.of(grown, matrix.shape[1]), stand_in, tuple(map(str, grown.classes_)))


def class_version(windows: ClassSet, params: ClassParams) -> str:
    """Return the version a training run would have: the set's last day and a digest of all that decides the model."""
    decides = {
        "set": windows.sha256,
        "params": asdict(params),
        "code": CLASS_CODE_VERSION,
        "sklearn": sklearn.__version__,
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return f"{windows.days[-1] if len(windows) else 'empty'}-{digest[:12]}"


def why_too_little(windows: ClassSet) -> str | None:
    """Return why nothing can be learnt from a set, None where something can."""
    seen = windows.take(~windows.held_out)
    if len(seen) < MIN_LABELLED_WINDOWS:
        return f"{len(seen)} labelled windows, {MIN_LABELLED_WINDOWS} needed"
    if len(seen.classes) < 2:
        return f"{len(seen.classes)} activities of {MIN_PEOPLE_PER_CLASS} or more people, 2 needed"
    return None


def train_classes(windows: ClassSet, params: ClassParams | None = None, name: str = ACTIVITY_CLASS) -> ClassCandidate:
    """Train on everyone who is not held out; `ModelRefused` where there is too little to learn from."""
    params = params or ClassParams()
    lacking = why_too_little(windows)
    if lacking is not None:
        raise refused(Refusal.TOO_LITTLE_DATA, lacking)
    seen = windows.take(~windows.held_out)
    fitted = fit_classes(seen.matrix, seen.label, params)
    probe = imputed(seen.matrix[np.linspace(0, len(seen) - 1, PROBE_ROWS).astype(np.intp)], fitted.stand_in)
    description = ClassDescription(
        name=name,
        version=class_version(windows, params),
        feature_version=windows.feature_version,
        model_code_version=CLASS_CODE_VERSION,
        sklearn_version=sklearn.__version__,
        features=SPAN_FEATURES,
        stand_in=tuple(fitted.stand_in.tolist()),
        classes=fitted.classes,
        training_sha256=windows.sha256,
        probe=tuple(map(tuple, probe.tolist())),
        probe_probabilities=tuple(map(tuple, fitted.score(probe).tolist())),
    )
    return ClassCandidate(description, write_class_artifact(description, fitted.forest))
