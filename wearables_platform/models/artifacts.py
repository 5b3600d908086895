"""A model file: a skops archive (no pickle) with a description of ours in front, byte-equal for equal models.

`read_artifact` trusts nothing: size, digest and description are checked before anything is built, every type in the
archive must be on a short list, and the forest's nodes are checked before a row meets them.
"""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import sklearn
import skops.io
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import InconsistentVersionWarning
from skops.io.exceptions import UntrustedTypesFoundException

from wearables_platform.models.archives import DESCRIPTION_MEMBER, MAX_BYTES, json_member, opened, written
from wearables_platform.models.refusal import Refusal, refused

FORMAT: Final = 1
SCHEMA_MEMBER: Final = "schema.json"

ALLOWED_TYPES: Final = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.ndarray",
        "sklearn.ensemble._iforest.IsolationForest",
        "sklearn.tree._classes.ExtraTreeRegressor",
        "sklearn.tree._tree.Tree",
    }
)
# skops asks for explicit trust in Tree because scikit-learn walks its nodes unchecked. We never let it: forest.flatten
# copies the nodes out and checks them, and nothing here calls the loaded object's own methods.
REVIEWED_TYPES: Final = ("sklearn.tree._tree.Tree",)


@dataclass(frozen=True)
class ModelDescription:
    """What must be known about a model before it is built; the first member of its file."""

    name: str
    version: str
    feature_version: str
    model_code_version: str
    sklearn_version: str
    features: tuple[str, ...]
    stand_in: tuple[float, ...]
    alarm_threshold: float
    n_trees: int
    max_samples: int
    seed: int
    training_sha256: str
    probe: tuple[tuple[float, ...], ...]
    probe_scores: tuple[float, ...]
    format: int = FORMAT

    def probe_matrix(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the (P, F) rows whose scores are stated."""
        return np.array(self.probe, dtype=np.float32).reshape(-1, len(self.features))


def write_artifact(description: ModelDescription, forest: IsolationForest) -> bytes:
    """Return the model's file; equal models give equal bytes."""
    return written(asdict(description), _canonical_members(skops.io.dumps(forest)))


def read_artifact(data: bytes, sha256: str) -> tuple[ModelDescription, IsolationForest]:
    """Return what a model's file holds; `ModelRefused` with the reason where it must not be used."""
    with opened(data, sha256, MAX_BYTES) as archive:
        description = _description(archive)
        _check_types(archive)
    return description, _forest(data)


def _description(archive: zipfile.ZipFile) -> ModelDescription:
    fields = json_member(archive, DESCRIPTION_MEMBER)
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise refused(Refusal.FOREIGN_SCHEMA, f"this code reads model format {FORMAT}")
    try:
        described = ModelDescription(
            **{
                **fields,
                "features": tuple(fields["features"]),
                "stand_in": tuple(map(float, fields["stand_in"])),
                "probe": tuple(tuple(map(float, row)) for row in fields["probe"]),
                "probe_scores": tuple(map(float, fields["probe_scores"])),
                "alarm_threshold": _number(fields["alarm_threshold"]),
            }
        )
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise refused(Refusal.FOREIGN_SCHEMA, str(exc)) from exc
    if described.sklearn_version != sklearn.__version__:
        raise refused(
            Refusal.OTHER_SKLEARN, f"trained with {described.sklearn_version}, this process has {sklearn.__version__}"
        )
    return described


def _number(value: Any) -> float:
    """Return a finite number; a text that could be read as one is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"{value!r} is no number"
        raise ValueError(msg)
    return float(value)


def _check_types(archive: zipfile.ZipFile) -> None:
    found = {f"{node.get('__module__')}.{node['__class__']}" for node in _nodes(json_member(archive, SCHEMA_MEMBER))}
    foreign = sorted(found - ALLOWED_TYPES)
    if foreign:
        raise refused(Refusal.FOREIGN_TYPES, ", ".join(foreign))


def _forest(data: bytes) -> IsolationForest:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", InconsistentVersionWarning)
            forest = skops.io.loads(data, trusted=list(REVIEWED_TYPES))
    except UntrustedTypesFoundException as exc:
        raise refused(Refusal.FOREIGN_TYPES, str(exc)) from exc
    except InconsistentVersionWarning as exc:
        raise refused(Refusal.OTHER_SKLEARN, str(exc)) from exc
    except Exception as exc:  # a forged archive can fail in any way inside skops, numpy or scikit-learn
        raise refused(Refusal.CORRUPT, f"{type(exc).__name__}: {exc}") from exc
    if not isinstance(forest, IsolationForest):
        raise refused(Refusal.FOREIGN_TYPES, f"the file holds a {type(forest).__name__}")
    return forest


def _canonical_members(archive: bytes) -> list[tuple[str, bytes]]:
    """Return the members of a skops archive with its memory addresses replaced by running numbers."""
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        schema = json.loads(source.read(SCHEMA_MEMBER))
        numbers: dict[int, int] = {}
        files: dict[str, str] = {}
        for node in _nodes(schema):
            if "__id__" in node:
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if "file" in node:
                node["file"] = files.setdefault(node["file"], f"{len(files) + 1:06d}.npy")
        arrays = [(new, source.read(old)) for old, new in files.items()]
    return [(SCHEMA_MEMBER, json.dumps(schema, sort_keys=True).encode()), *arrays]


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Walk a skops schema depth first in a fixed order, yielding every typed node."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if "__class__" in node:
                yield node
            pending.extend(node[key] for key in sorted(node, reverse=True))
        elif isinstance(node, list):
            pending.extend(reversed(node))
