"""The windows a model learns from and is judged on: who wore the device, and where a known event lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wearables_platform.models.inputs import MODEL_FEATURES, Matrix, feature_matrix, trainable
from wearables_platform.signals.windows import WINDOW_US, WindowRows

HELD_OUT_SHARE: Final = 0.25
"""Share of people no version of any model ever trains on, so that two versions can be compared on them."""

MIN_HELD_OUT: Final = 2
"""One person's habits must not decide between two models."""

MAX_WINDOWS_PER_PERSON: Final = 5_000
"""More windows of one person teach little more, and would make that person what is usual."""

SPIKE_RULE: Final = "spike rule"
MEASURED: Final = frozenset({SPIKE_RULE, "labels"})
"""Where known events may come from: a rule over the samples, or people. Never a model's own alarms."""

Text = NDArray[np.str_]


@dataclass(frozen=True)
class Wear:
    """Who wore a device from when (inclusive) to when (exclusive), microseconds since the epoch, UTC."""

    device_id: str
    participant_id: str
    from_us: int
    to_us: int


@dataclass(frozen=True)
class TrainingSet:
    """Windows in the order (person, device, start); all arrays share the first axis N.

    Attributes
    ----------
    matrix : (N, F) float32, NaN where a feature is not defined
    person, device_id : (N,) text
    start_us : (N,) int64
    is_event : (N,) bool
        A spike event starts in the window: found by a rule, never by a model.
    held_out : (N,) bool
        The person belongs to those no version trains on.
    feature_version : str
    events_from : names of `MEASURED`
        Where the known events come from; part of the digest, kept in the file, asked for by the gate.
    """

    matrix: Matrix
    person: Text
    device_id: Text
    start_us: NDArray[np.int64]
    is_event: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    feature_version: str
    events_from: tuple[str, ...] = (SPIKE_RULE,)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.start_us)

    def take(self, chosen: NDArray[np.bool_]) -> TrainingSet:
        """Return the windows `chosen` marks."""
        return TrainingSet(
            matrix=self.matrix[chosen],
            person=self.person[chosen],
            device_id=self.device_id[chosen],
            start_us=self.start_us[chosen],
            is_event=self.is_event[chosen],
            held_out=self.held_out[chosen],
            feature_version=self.feature_version,
            events_from=self.events_from,
        )

    @property
    def people(self) -> list[str]:
        """Everyone in the set, sorted."""
        return [str(person) for person in np.unique(self.person)]

    @property
    def days(self) -> list[str]:
        """Every UTC day in the set, sorted."""
        return [str(day) for day in np.unique(self.start_us.astype("datetime64[us]").astype("datetime64[D]"))]

    @property
    def end_us(self) -> int:
        """End of the last window."""
        return int(self.start_us.max()) + WINDOW_US if len(self) else 0

    @property
    def sha256(self) -> str:
        """Digest of everything a model could learn from the set, whatever file it is stored in."""
        digest = hashlib.sha256(self.feature_version.encode())
        digest.update("\n".join(MODEL_FEATURES).encode())
        for array in (self.matrix, self.start_us, self.is_event, self.held_out):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update("\n".join([*self.person, *self.device_id]).encode())
        if self.events_from != (SPIKE_RULE,):  # so that sets from before there was another source keep their names
            digest.update("\n".join(self.events_from).encode())
        return digest.hexdigest()

    def to_table(self) -> pa.Table:
        """Return the set as one Arrow table, its feature version in the schema's metadata."""
        features = {name: self.matrix[:, number] for number, name in enumerate(MODEL_FEATURES)}
        keys = {"participant_id": self.person, "device_id": self.device_id, "start_us": self.start_us}
        table = pa.table({**keys, "is_event": self.is_event, "held_out": self.held_out, **features})
        lineage = json.dumps(list(self.events_from))
        return table.replace_schema_metadata({"feature_version": self.feature_version, "events_from": lineage})

    @classmethod
    def from_table(cls, table: pa.Table) -> TrainingSet:
        """Return what `to_table` stored."""
        return cls(
            matrix=np.column_stack([_column(table, name, np.float32) for name in MODEL_FEATURES]),
            person=_column(table, "participant_id", np.str_),
            device_id=_column(table, "device_id", np.str_),
            start_us=_column(table, "start_us", np.int64),
            is_event=_column(table, "is_event", np.bool_),
            held_out=_column(table, "held_out", np.bool_),
            feature_version=table.schema.metadata[b"feature_version"].decode(),
            events_from=tuple(json.loads(table.schema.metadata.get(b"events_from", b'["spike rule"]'))),
        )


def assemble(
    rows: WindowRows,
    device_ids: Sequence[str],
    wears: Sequence[Wear],
    events: Mapping[str, Sequence[int]],
    feature_version: str,
) -> TrainingSet:
    """Join windows with their wearers and with the starts of known event windows, by device.

    Windows nobody known wore are left out: an erased person is in no registry, so also in no training set.
    """
    device_id = np.array(device_ids, dtype=np.str_)[rows.device] if len(rows) else np.array([], dtype=np.str_)
    person = wearers(device_id, rows.start_us, wears)
    chosen = trainable(rows) & (person != "")
    order = np.lexsort((rows.start_us, device_id, person))
    order = _thinned(order[chosen[order]], person)
    return TrainingSet(
        matrix=feature_matrix(rows.take(order)),
        person=person[order],
        device_id=device_id[order],
        start_us=rows.start_us[order],
        is_event=_holds_event(device_id[order], rows.start_us[order], events),
        held_out=held_out_mask(person[order]),
        feature_version=feature_version,
    )


def held_out_people(people: Sequence[str]) -> set[str]:
    """Choose the people nobody's model trains on: by a digest of the id, so that every version sets the same apart.

    About a quarter of them; at least `MIN_HELD_OUT` and at most half, so that small sets can be judged and learnt from.
    """
    ranked = sorted(set(people), key=_rank)
    half = len(ranked) // 2
    wanted = sum(_rank(person) < HELD_OUT_SHARE for person in ranked)
    return set(ranked[: min(max(wanted, MIN_HELD_OUT), half)])


def _rank(participant_id: str) -> float:
    """Return a number in [0, 1) that is a person's own, whatever set the person is in."""
    return int.from_bytes(hashlib.sha256(f"held-out:{participant_id}".encode()).digest()[:6], "big") / 2**48


def _column(table: pa.Table, name: str, dtype: type) -> NDArray[Any]:
    return cast(NDArray[Any], table[name].to_numpy(zero_copy_only=False)).astype(dtype)


def wearers(device_id: Text, start_us: NDArray[np.int64], wears: Sequence[Wear]) -> Text:
    """Return who wore each window's device at its start; empty where nobody known did."""
    longest = max((len(wear.participant_id) for wear in wears), default=1)
    person = np.full(len(device_id), "", dtype=f"U{longest}")
    for wear in wears:
        person[(device_id == wear.device_id) & (start_us >= wear.from_us) & (start_us < wear.to_us)] = (
            wear.participant_id
        )
    return person


def _thinned(order: NDArray[np.intp], person: Text) -> NDArray[np.intp]:
    """Keep at most `MAX_WINDOWS_PER_PERSON` of each person, evenly spread over that person's windows."""
    people, first, count = np.unique(person[order], return_index=True, return_counts=True)
    kept = [
        first[number] + np.linspace(0, count[number] - 1, min(count[number], MAX_WINDOWS_PER_PERSON)).astype(np.intp)
        for number in range(len(people))
    ]
    return order[np.concatenate(kept)] if kept else order


def _holds_event(
    device_id: Text, start_us: NDArray[np.int64], events: Mapping[str, Sequence[int]]
) -> NDArray[np.bool_]:
    holds = np.zeros(len(device_id), dtype=np.bool_)
    for device, starts in events.items():
        mine = np.flatnonzero(device_id == device)
        holds[mine] = np.isin(start_us[mine], np.asarray(starts, dtype=np.int64))
    return holds


def held_out_mask(person: Text) -> NDArray[np.bool_]:
    """Mark the windows of people no version trains on."""
    return np.isin(person, np.array(sorted(held_out_people(person.tolist())), dtype=person.dtype))
