"""The file of a model that tells classes apart: arrays and a description, nothing that could run.

No skops and no scikit-learn: a forest of classes is six arrays, each read without pickle and checked before a row meets
it. What it scores is checked against what it states, so the library that grew it need not be the one that reads it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.archives import DESCRIPTION_MEMBER, json_member, opened, written
from wearables_platform.models.class_forest import ClassForest
from wearables_platform.models.forest import TreeNodes
from wearables_platform.models.refusal import Refusal, refused

FORMAT: Final = "class-forest-1"
MAX_CLASSES: Final = 64
# As narrow as what they hold: half of what a forest weighs is its children.
_NODES: Final = ("sizes", "left", "right", "feature", "threshold")
_ARRAYS: Final[Mapping[str, str]] = dict(zip(_NODES, ("<i4", "<i4", "<i4", "<i2", "<f8"), strict=True))
_SHARES: Final = "shares"


@dataclass(frozen=True)
class ClassDescription:
    """What must be known about a model before it is built; the first member of its file.

    Attributes
    ----------
    features, stand_in : the columns, and what stands in for a number that does not exist
    classes : in the order of the probabilities
    sklearn_version : what grew the trees; said, not required
    probe, probe_probabilities : rows, and what they must score
    """

    name: str
    version: str
    feature_version: str
    model_code_version: str
    sklearn_version: str
    features: tuple[str, ...]
    stand_in: tuple[float, ...]
    classes: tuple[str, ...]
    training_sha256: str
    probe: tuple[tuple[float, ...], ...]
    probe_probabilities: tuple[tuple[float, ...], ...]
    format: str = FORMAT

    def probe_matrix(self) -> NDArray[np.float32]:
        """Return the (P, F) rows whose probabilities are stated."""
        return np.array(self.probe, dtype=np.float32).reshape(-1, len(self.features))


def write_class_artifact(description: ClassDescription, forest: ClassForest) -> bytes:
    """Return the model's file; equal models give equal bytes."""
    nodes = forest.nodes
    arrays = [(name, getattr(nodes, name).astype(kind)) for name, kind in _ARRAYS.items()]
    members = [(f"{name}.npy", _npy(array)) for name, array in [*arrays, (_SHARES, forest.shares.astype("<f8"))]]
    return written(asdict(description), members)


def read_class_artifact(data: bytes, sha256: str) -> tuple[ClassDescription, ClassForest]:
    """Return what a model's file holds; `ModelRefused` with the reason where it must not be used."""
    with opened(data, sha256) as archive:
        description = _description(json_member(archive, DESCRIPTION_MEMBER))
        arrays = {name: _array(archive, name, kind) for name, kind in [*_ARRAYS.items(), (_SHARES, "<f8")]}
    if any(arrays[name].ndim != 1 for name in _NODES):
        raise refused(Refusal.NOT_A_FOREST, "the nodes are no columns")
    nodes = TreeNodes(
        sizes=arrays["sizes"].astype(np.int64),
        left=arrays["left"].astype(np.int64),
        right=arrays["right"].astype(np.int64),
        feature=arrays["feature"].astype(np.int64),
        threshold=arrays["threshold"],
    )
    forest = ClassForest.checked(nodes, arrays[_SHARES], len(description.features))
    if forest.shares.shape[1] != len(description.classes):
        raise refused(Refusal.FOREIGN_SCHEMA, f"{len(description.classes)} classes, {forest.shares.shape[1]} columns")
    return description, forest


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _array(archive: zipfile.ZipFile, name: str, kind: str) -> NDArray[Any]:
    try:
        found = np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    except KeyError as exc:
        raise refused(Refusal.FOREIGN_SCHEMA, f"the file has no {name}.npy") from exc
    except Exception as exc:  # as in `archives.json_member`; a header may also claim more than there is memory
        raise refused(Refusal.CORRUPT, f"{name}.npy cannot be read ({type(exc).__name__}: {exc})") from exc
    if not isinstance(found, np.ndarray) or found.dtype != np.dtype(kind):
        raise refused(Refusal.FOREIGN_TYPES, f"{name}.npy is no array of {kind}")
    return found


def _description(fields: Any) -> ClassDescription:
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise refused(Refusal.FOREIGN_SCHEMA, f"this code reads model format {FORMAT}")
    try:
        described = ClassDescription(
            **{
                **fields,
                "features": tuple(fields["features"]),
                "classes": tuple(map(str, fields["classes"])),
                "stand_in": tuple(map(float, fields["stand_in"])),
                "probe": tuple(tuple(map(float, row)) for row in fields["probe"]),
                "probe_probabilities": tuple(tuple(map(float, row)) for row in fields["probe_probabilities"]),
            }
        )
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise refused(Refusal.FOREIGN_SCHEMA, str(exc)) from exc
    names = described.classes
    if not 2 <= len(names) <= MAX_CLASSES or len(set(names)) != len(names):
        raise refused(Refusal.FOREIGN_SCHEMA, f"{len(names)} classes, 2 to {MAX_CLASSES} different ones needed")
    return described
