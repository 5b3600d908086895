"""The labelled windows the activity model learns from and is judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wearables_platform.models.inputs import Matrix
from wearables_platform.models.labels import NO_LABEL, Label, label_windows
from wearables_platform.models.spans import SPAN_FEATURES, span_matrix
from wearables_platform.models.training_set import Wear, held_out_mask, wearers
from wearables_platform.signals.windows import WINDOW_US, WindowRows

MIN_PEOPLE_PER_CLASS: Final = 3
"""An activity that fewer people were seen at is left out: the model would learn the people."""

MAX_WINDOWS_PER_PERSON: Final = 20_000
"""Five and a half hours of labels; more of one person teach little and would outweigh the others."""

BLOCK_US: Final = 60 * WINDOW_US
"""Where there are more, whole minutes are left out, so that what is left still lies side by side."""

Text = NDArray[np.str_]


@dataclass(frozen=True)
class ClassSet:
    """Labelled windows in the order (device, start); all arrays share the first axis N.

    Attributes
    ----------
    matrix : (N, F) float32, columns `SPAN_FEATURES`, NaN where one is not defined
    device : (N,) int32, numbers of the devices, for finding stretches
    person, device_id, label, said_by : (N,) text
    start_us : (N,) int64
    rate_hz : (N,) float64
    held_out : (N,) bool
        The person belongs to those no version trains on.
    feature_version : str
    left_out : activities that too few people were seen at, with the number of their windows
    """

    matrix: Matrix
    device: NDArray[np.int32]
    person: Text
    device_id: Text
    label: Text
    said_by: Text
    start_us: NDArray[np.int64]
    rate_hz: NDArray[np.float64]
    held_out: NDArray[np.bool_]
    feature_version: str
    left_out: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.start_us)

    def take(self, chosen: NDArray[Any]) -> ClassSet:
        """Return the windows a mask or an index names."""
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return ClassSet(**arrays, feature_version=self.feature_version, left_out=self.left_out)

    @property
    def people(self) -> list[str]:
        """Everyone in the set, sorted."""
        return [str(person) for person in np.unique(self.person)]

    @property
    def classes(self) -> tuple[str, ...]:
        """Every activity in the set, sorted."""
        return tuple(str(name) for name in np.unique(self.label))

    @property
    def days(self) -> list[str]:
        """Every UTC day in the set, sorted."""
        return [str(day) for day in np.unique(self.start_us.astype("datetime64[us]").astype("datetime64[D]"))]

    @property
    def sha256(self) -> str:
        """Digest of everything a model could learn from the set, whatever file it is stored in."""
        digest = hashlib.sha256(self.feature_version.encode())
        digest.update("\n".join(SPAN_FEATURES).encode())
        for array in (self.matrix, self.start_us, self.rate_hz, self.held_out):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join([*self.person, *self.device_id, *self.label, *self.said_by]).encode())
        return digest.hexdigest()

    def to_table(self) -> pa.Table:
        """Return the set as one Arrow table, what is not a column in the schema's metadata."""
        features = {name: self.matrix[:, number] for number, name in enumerate(SPAN_FEATURES)}
        table = pa.table({**{name: getattr(self, name) for name in _ARRAYS if name != "matrix"}, **features})
        left_out = "\n".join(f"{name} {count}" for name, count in self.left_out)
        return table.replace_schema_metadata({"feature_version": self.feature_version, "left_out": left_out})

    @classmethod
    def from_table(cls, table: pa.Table) -> ClassSet:
        """Return what `to_table` stored."""
        kinds = {"device": np.int32, "start_us": np.int64, "rate_hz": np.float64, "held_out": np.bool_}
        columns = {name: _column(table, name, kinds.get(name, np.str_)) for name in _ARRAYS if name != "matrix"}
        left_out = [line.split() for line in table.schema.metadata[b"left_out"].decode().splitlines()]
        return cls(
            matrix=np.column_stack([_column(table, name, np.float32) for name in SPAN_FEATURES]),
            **columns,
            feature_version=table.schema.metadata[b"feature_version"].decode(),
            left_out=tuple((name, int(count)) for name, count in left_out),
        )


_ARRAYS: Final = tuple(field.name for field in fields(ClassSet) if field.name not in ("feature_version", "left_out"))


def assemble_classes(
    rows: WindowRows,
    device_ids: Sequence[str],
    wears: Sequence[Wear],
    labels: Sequence[Label],
    feature_version: str,
) -> ClassSet:
    """Join windows with their wearers and labels.

    Windows nobody known wore are left out: an erased person is in no registry, so also in no training set. A window's
    span reaches to its neighbours whether they are labelled or not.
    """
    device_id = np.array(device_ids, dtype=np.str_)[rows.device] if len(rows) else np.array([], dtype=np.str_)
    person = wearers(device_id, rows.start_us, wears)
    label, said_by = label_windows(device_id, person, rows.start_us, labels)
    matrix, usable = span_matrix(rows)
    chosen = np.flatnonzero(usable & (person != "") & (label != NO_LABEL))
    chosen, left_out = _taught_by_enough(chosen, label, person)
    chosen = _thinned(chosen, person, rows.start_us)
    return ClassSet(
        matrix=matrix[chosen],
        device=rows.device[chosen],
        person=person[chosen],
        device_id=device_id[chosen],
        label=label[chosen],
        said_by=said_by[chosen],
        start_us=rows.start_us[chosen],
        rate_hz=rows["rate_hz"][chosen].astype(np.float64),
        held_out=held_out_mask(person[chosen]),
        feature_version=feature_version,
        left_out=left_out,
    )


def _taught_by_enough(
    chosen: NDArray[np.intp], label: Text, person: Text
) -> tuple[NDArray[np.intp], tuple[tuple[str, int], ...]]:
    names = np.unique(label[chosen])
    people = {str(name): len(np.unique(person[chosen][label[chosen] == name])) for name in names}
    rare = [name for name, count in people.items() if count < MIN_PEOPLE_PER_CLASS]
    left_out = tuple((name, int((label[chosen] == name).sum())) for name in rare)
    return chosen[~np.isin(label[chosen], np.array(rare, dtype=np.str_))], left_out


def _thinned(chosen: NDArray[np.intp], person: Text, start_us: NDArray[np.int64]) -> NDArray[np.intp]:
    """Keep about `MAX_WINDOWS_PER_PERSON` of each person, whole minutes evenly spread."""
    kept = np.ones(len(chosen), dtype=np.bool_)
    for one in np.unique(person[chosen]):
        mine = np.flatnonzero(person[chosen] == one)
        if len(mine) > MAX_WINDOWS_PER_PERSON:
            minutes, minute = np.unique(start_us[chosen[mine]] // BLOCK_US, return_inverse=True)
            wanted = max(1, len(minutes) * MAX_WINDOWS_PER_PERSON // len(mine))
            spread = np.linspace(0, len(minutes) - 1, wanted).astype(np.intp)
            kept[mine] = np.isin(minute, spread)
    return chosen[kept]


def _column(table: pa.Table, name: str, dtype: type) -> NDArray[Any]:
    return cast(NDArray[Any], table[name].to_numpy(zero_copy_only=False)).astype(dtype)
