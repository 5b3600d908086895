"""Sorting more than fits gives what sorting in memory gives, however it is portioned."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.batch import external_sort as sorting
from wearables_platform.batch.external_sort import external_sort

KEYS = ["name", "number"]


def rows(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    names = [f"d{i}" for i in random.integers(0, 5, count)]
    numbers = random.permutation(count)
    return pa.table({"name": names, "number": numbers, "payload": [b"x" * int(n % 50) for n in numbers]})


def sorted_in_portions(table: pa.Table, cuts: list[int], memory_bytes: int) -> tuple[pa.Table, int]:
    bounds = [0, *sorted(cuts), table.num_rows]
    with external_sort(KEYS, memory_bytes) as sort:
        for begin, end in zip(bounds, bounds[1:], strict=False):
            if end > begin:
                sort.add(table.slice(begin, end - begin))
        return pa.concat_tables(sort.tables()), sort.runs


@settings(max_examples=12)
@given(st.lists(st.integers(0, 300), max_size=12), st.integers(200, 20_000), st.integers(0, 3))
def test_any_portions_and_any_memory_give_the_same_order(cuts: list[int], memory_bytes: int, seed: int) -> None:
    table = rows(300, seed)
    assert sorted_in_portions(table, cuts, memory_bytes)[0] == table.sort_by([(key, "ascending") for key in KEYS])


def test_more_runs_than_are_merged_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "RUNS_AT_ONCE", 4)
    monkeypatch.setattr(sorting, "PIECE_BYTES", 300)
    table = rows(900, 1)
    found, runs = sorted_in_portions(table, list(range(0, 900, 30)), 1_000)
    assert found == table.sort_by([(key, "ascending") for key in KEYS])
    assert runs <= 4  # thirty were written; what was merged is gone


def test_nothing_in_nothing_out() -> None:
    with external_sort(KEYS) as sort:
        assert list(sort.tables()) == []
