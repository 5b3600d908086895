"""Do two engines give the same sums? Whole numbers are equal or they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wearables_platform.batch.activity.engines import Computed


@dataclass(frozen=True)
class Difference:
    """A row two engines do not agree on; a row only one of them has is None in the other."""

    table: str
    key: tuple[Any, ...]
    column: str
    first: Any
    second: Any


def differences(first: Computed, second: Computed, at_most: int = 20) -> list[Difference]:
    """Return the rows in which two engines differ, at most so many, each with its first differing column."""
    assert first.days is not None
    assert second.days is not None
    found = [*_of("hours", first.hours, second.hours, ("device_id", "hour"))]
    found += _of("days", first.days, second.days, ("day",))
    return found[:at_most]


def _of(table: str, first: pa.Table, second: pa.Table, keys: tuple[str, ...]) -> list[Difference]:
    names = sorted(set(first.column_names) | set(second.column_names))
    ours, theirs = (_by_key(each, keys) for each in (first, second))
    return [
        Difference(table, key, *_differing(names, ours.get(key), theirs.get(key)))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _by_key(table: pa.Table, keys: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[key] for key in keys): row for row in table.to_pylist()}


def _differing(names: list[str], ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> tuple[str, Any, Any]:
    if ours is None or theirs is None:
        return "(row)", ours and "there", theirs and "there"
    name = next(name for name in names if ours.get(name) != theirs.get(name))
    return name, ours.get(name), theirs.get(name)
