"""What differs between rows computed from the archive and rows a database holds, and what to do about it. Pure.

Rows of a day are keyed by (device, instant); numbers are compared bit by bit, with "no number" equal to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from wearables_platform.domain.time_policy import US_PER_DAY

Keys = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Column = npt.NDArray[Any]


@dataclass(frozen=True)
class KeyedRows:
    """Rows in ascending order of distinct keys; every column has one value per key."""

    keys: Keys
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.keys)

    def take(self, index: Mask | npt.NDArray[np.intp]) -> KeyedRows:
        """Return the rows that `index` selects."""
        return KeyedRows(self.keys[index], {name: column[index] for name, column in self.columns.items()})

    def at(self, keys: Keys) -> KeyedRows:
        """Return the rows of these keys, all of which must be there."""
        return self.take(np.searchsorted(self.keys, keys))


@dataclass(frozen=True)
class DayKeys:
    """Turns (device, instant of a day) into one integer and back; devices are numbered in ascending order."""

    device_ids: Sequence[str]
    first_us: int

    def of(self, device_ids: Sequence[str] | Column, instants_us: Keys) -> Keys:
        """Return the key of each (device, instant)."""
        number = {device_id: i for i, device_id in enumerate(self.device_ids)}
        devices = np.fromiter((number[device_id] for device_id in device_ids), np.int64, len(device_ids))
        return devices * US_PER_DAY + (np.asarray(instants_us, np.int64) - self.first_us)

    def devices(self, keys: Keys) -> list[str]:
        """Return the device of each key."""
        return [self.device_ids[number] for number in (keys // US_PER_DAY).tolist()]

    def instants_us(self, keys: Keys) -> Keys:
        """Return the instant of each key."""
        return np.asarray(keys % US_PER_DAY + self.first_us)


@dataclass(frozen=True)
class Comparison:
    """Keys by how two sets of rows relate; the four are disjoint and cover both sets."""

    equal: Keys
    different: Keys
    only_left: Keys
    only_right: Keys


def compare(left: KeyedRows, right: KeyedRows, columns: Sequence[str]) -> Comparison:
    """Compare rows by key, and rows with the same key bit by bit in the named columns."""
    both = np.intersect1d(left.keys, right.keys, assume_unique=True)
    same = np.ones(len(both), bool)
    a, b = left.at(both), right.at(both)
    for name in columns:
        same &= same_bits(a.columns[name], b.columns[name])
    return Comparison(
        both[same],
        both[~same],
        np.setdiff1d(left.keys, right.keys, assume_unique=True),
        np.setdiff1d(right.keys, left.keys, assume_unique=True),
    )


def same_bits(left: Column, right: Column) -> Mask:
    """Tell where two columns hold the same bits; NaN, which stands for "no number", equals NaN.

    >>> same_bits(np.array([1.0, np.nan, 0.0]), np.array([1.0, np.nan, -0.0])).tolist()
    [True, True, False]
    """
    if left.dtype.kind != "f":
        return np.asarray(left == right)
    bits = left.astype(np.float64).view(np.int64) == right.astype(np.float64).view(np.int64)
    return np.asarray(bits | (np.isnan(left) & np.isnan(right)))


class Because(StrEnum):
    """Why batch replaces, adds or removes a row; a dirty window's own cause comes first."""

    PROVISIONAL = "provisional"  # the stream wrote it before everything had passed, and never came back
    RECOMPUTED = "recomputed"  # batch had written it from fewer messages, or with another version
    MISSING = "missing"  # the stream had everything and wrote no row
    DIFFERENT = "different"  # the stream wrote another value, and nothing says why
    VANISHED = "vanished"  # a row that the archived messages do not give


@dataclass(frozen=True)
class Evidence:
    """What is known about a key besides both rows.

    Attributes
    ----------
    dirty
        Key to the cause the stream recorded: late, overlap ...
    settled
        (N,) keys whose row can change no more with what the stream has read and the archive had not: batch may act.
    awaited
        (N,) keys whose row the stream may still write: a missing row there is not a fault.
    over
        The day is over: what the stream left provisional is finished here. Until then a device may come back and the
        stream finish its rows itself.
    """

    dirty: Mapping[int, str]
    settled: Keys
    awaited: Keys
    over: bool = True


@dataclass(frozen=True)
class RepairPlan:
    """Keys to write and keys to remove, each with its reason."""

    put: Mapping[int, str]
    remove: Mapping[int, str]

    def __len__(self) -> int:
        """Return how many rows change."""
        return len(self.put) + len(self.remove)


def plan_repair(batch: KeyedRows, stored: KeyedRows, columns: Sequence[str], evidence: Evidence) -> RepairPlan:
    """Decide which stored rows batch replaces, adds or removes.

    Parameters
    ----------
    batch
        Rows computed from the archive.
    stored
        Rows in the database, with the columns ``from_stream`` and ``provisional`` (bool) besides.
    columns
        Columns that make a row what it is.
    """
    found = compare(batch, stored, columns)
    settled, awaited = set(evidence.settled.tolist()), set(evidence.awaited.tolist())
    if not evidence.over:
        settled -= set(stored.keys[stored.columns["provisional"].astype(bool)].tolist()) - evidence.dirty.keys()
    put: dict[int, str] = {}
    for key in settled.intersection(found.different.tolist()):
        put[key] = evidence.dirty.get(key) or _why_different(stored, key)
    for key in settled.intersection(found.only_left.tolist()):
        if key in evidence.dirty or key not in awaited:
            put[key] = evidence.dirty.get(key) or Because.MISSING
    for key in _left_provisional(stored.at(found.equal), settled):
        put[key] = Because.PROVISIONAL
    remove = {key: evidence.dirty.get(key) or Because.VANISHED for key in found.only_right.tolist() if key in settled}
    return RepairPlan(put, remove)


def _why_different(stored: KeyedRows, key: int) -> str:
    row = stored.at(np.array([key]))
    if row.columns["provisional"][0]:
        return Because.PROVISIONAL
    return Because.DIFFERENT if row.columns["from_stream"][0] else Because.RECOMPUTED


def _left_provisional(equal: KeyedRows, settled: set[int]) -> list[int]:
    return [key for key in equal.keys[equal.columns["provisional"].astype(bool)].tolist() if key in settled]


@dataclass(frozen=True)
class ParityCounts:
    """How many rows stream and batch agree on, and what the others were.

    Attributes
    ----------
    clean, clean_equal
        Final rows of the stream that nothing marked, and how many of them batch computes bit-equal.
    dirty, dirty_equal_after
        Rows with a recorded cause that can change no more, and how many of them the database now holds as batch
        computes them.
    unexplained
        Differing, missing or superfluous rows without a cause: none, or something is wrong.
    provisional, awaited
        Rows the stream has not finished, or with a cause and not settled: they prove nothing yet.
    examples
        Keys of some unexplained rows.
    """

    clean: int
    clean_equal: int
    dirty: int
    dirty_equal_after: int
    unexplained: int
    provisional: int
    awaited: int
    examples: tuple[int, ...]


def count_parity(
    batch: KeyedRows, streamed: KeyedRows, stored: KeyedRows, columns: Sequence[str], evidence: Evidence
) -> ParityCounts:
    """Compare what the stream wrote (`streamed`) with batch, and what is stored now with batch where rows are dirty."""
    first = compare(batch, streamed, columns)
    after = compare(batch, stored, columns)
    marked = np.fromiter(evidence.dirty, np.int64, len(evidence.dirty))
    marked = np.intersect1d(marked, np.union1d(np.union1d(batch.keys, streamed.keys), stored.keys))
    dirty = np.intersect1d(marked, evidence.settled)  # the others batch may not replace yet: they need not be equal
    provisional = np.setdiff1d(streamed.keys[streamed.columns["provisional"].astype(bool)], marked)
    open_keys = np.union1d(marked, provisional)
    clean = np.intersect1d(np.setdiff1d(streamed.keys, open_keys), evidence.settled)
    clean_equal = np.intersect1d(clean, first.equal)
    missing = np.setdiff1d(first.only_left, np.union1d(open_keys, evidence.awaited))
    awaited = np.setdiff1d(np.intersect1d(first.only_left, evidence.awaited), open_keys)
    wrong = np.union1d(np.setdiff1d(clean, clean_equal), np.intersect1d(missing, evidence.settled))
    unequal_dirty = np.intersect1d(dirty, np.union1d(after.different, np.union1d(after.only_left, after.only_right)))
    return ParityCounts(
        len(clean),
        len(clean_equal),
        len(dirty),
        len(dirty) - len(unequal_dirty),
        len(wrong),
        len(provisional),
        len(awaited) + len(marked) - len(dirty),
        tuple(wrong[:20].tolist()),
    )
