"""Training sets in the lake: named after their content, so that a model's lineage can always be opened again."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Final

import pyarrow.parquet as pq

from wearables_platform.clients.lake import Lake, parquet_bytes
from wearables_platform.errors import StoreRefused
from wearables_platform.models.training_set import TrainingSet

CURRENT: Final = "current.json"


@dataclass(frozen=True)
class StoredSet:
    """A training set as the lake holds it."""

    path: str
    training_set: TrainingSet
    size_bytes: int


def store(lake: Lake, name: str, training_set: TrainingSet) -> StoredSet:
    """Write a model's training set and make it the current one; storing the same set again changes nothing."""
    path = training_set_path(name, training_set.sha256)
    data = parquet_bytes(training_set.to_table())
    lake.put(path, data)
    lake.put(f"{_folder(name)}/{CURRENT}", json.dumps({"sha256": training_set.sha256}).encode())
    return StoredSet(path, training_set, len(data))


def load_current(lake: Lake, name: str) -> StoredSet:
    """Read the training set stored last."""
    pointer = json.loads(lake.get(f"{_folder(name)}/{CURRENT}"))
    return load(lake, name, pointer["sha256"])


def load(lake: Lake, name: str, sha256: str) -> StoredSet:
    """Read a training set by its content's digest; `StoreRefused` where the file holds something else."""
    path = training_set_path(name, sha256)
    data = lake.get(path)
    found = TrainingSet.from_table(pq.read_table(io.BytesIO(data)))
    if found.sha256 != sha256:
        msg = f"{path} holds a training set with digest {found.sha256}"
        raise StoreRefused(msg)
    return StoredSet(path, found, len(data))


def training_set_path(name: str, sha256: str) -> str:
    """Return where a training set lies, relative to the lake's root."""
    return f"{_folder(name)}/{sha256[:24]}.parquet"


def _folder(name: str) -> str:
    return f"models/{name}/training_sets"
