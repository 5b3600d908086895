"""Training sets in the lake: named after their content, so that a model's lineage can always be opened again."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Final, Generic, Protocol, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from wearables_platform.clients.lake import Lake, parquet_bytes
from wearables_platform.errors import StoreRefused
from wearables_platform.models.training_set import TrainingSet

CURRENT: Final = "current.json"


class Storable(Protocol):
    """Windows that know their own digest and lie in the lake as one table."""

    @property
    def sha256(self) -> str:
        """Digest of everything a model could learn from it."""

    def to_table(self) -> pa.Table:
        """Return it as a table."""

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return what `to_table` stored."""


SetT = TypeVar("SetT", bound=Storable)


@dataclass(frozen=True)
class StoredSet(Generic[SetT]):
    """A training set as the lake holds it."""

    path: str
    training_set: SetT
    size_bytes: int


def store(lake: Lake, name: str, training_set: SetT) -> StoredSet[SetT]:
    """Write a model's training set and make it the current one; storing the same set again changes nothing."""
    path = training_set_path(name, training_set.sha256)
    data = parquet_bytes(training_set.to_table())
    lake.put(path, data)
    lake.put(f"{_folder(name)}/{CURRENT}", json.dumps({"sha256": training_set.sha256}).encode())
    return StoredSet(path, training_set, len(data))


def load_current(lake: Lake, name: str) -> StoredSet[TrainingSet]:
    """Read the training set stored last."""
    return load_current_as(TrainingSet, lake, name)


def load(lake: Lake, name: str, sha256: str) -> StoredSet[TrainingSet]:
    """Read a training set by its content's digest; `StoreRefused` where the file holds something else."""
    return load_as(TrainingSet, lake, name, sha256)


def load_current_as(kind: type[SetT], lake: Lake, name: str) -> StoredSet[SetT]:
    """As `load_current`, for a set of another kind."""
    pointer = json.loads(lake.get(f"{_folder(name)}/{CURRENT}"))
    return load_as(kind, lake, name, pointer["sha256"])


def load_as(kind: type[SetT], lake: Lake, name: str, sha256: str) -> StoredSet[SetT]:
    """As `load`, for a set of another kind."""
    path = training_set_path(name, sha256)
    data = lake.get(path)
    found = kind.from_table(pq.read_table(io.BytesIO(data)))
    if found.sha256 != sha256:
        msg = f"{path} holds a training set with digest {found.sha256}"
        raise StoreRefused(msg)
    return StoredSet(path, found, len(data))


def training_set_path(name: str, sha256: str) -> str:
    """Return where a training set lies, relative to the lake's root."""
    return f"{_folder(name)}/{sha256[:24]}.parquet"


def _folder(name: str) -> str:
    return f"models/{name}/training_sets"
