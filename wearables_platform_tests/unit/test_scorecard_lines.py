"""Every line of the scorecard can fail: a world that fits is green, each kind of misfit is red and named."""

from __future__ import annotations

from collections import Counter

import pytest

from wearables_platform.demo import lines
from wearables_platform.demo.lines import Spike

SPIKE = Spike("a", 1_000_000, 8.0)


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        ([SPIKE], True),
        ([Spike("a", 1_050_000, 8.79)], True),
        ([Spike("a", 1_050_001, 8.0)], False),
        ([Spike("a", 1_000_000, 8.81)], False),
        ([Spike("b", 1_000_000, 8.0)], False),
        ([], False),
        ([SPIKE, Spike("a", 9_000_000, 5.0)], False),
        ([SPIKE, SPIKE], False),
    ],
)
def test_spikes(found: list[Spike], ok: bool) -> None:
    assert lines.spikes([SPIKE], found).ok is ok


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        ({1: 100}, True),
        ({1: 99}, True),
        ({1: 98}, False),
        ({1: 100, 2: 7}, True),
        ({1: 100, 2: 8}, False),
        ({2: 100}, False),
    ],
)
def test_glitches(found: dict[int, int], ok: bool) -> None:
    counted = Counter({("a", block): count for block, count in found.items()})
    assert lines.glitches(Counter({("a", 1): 100}), counted).ok is ok


@pytest.mark.parametrize(
    ("found", "ok"),
    [({"a": 1}, True), ({"a": 2}, False), ({}, False), ({"a": 1, "b": 1}, False)],
)
def test_same_mapping_and_same_set(found: dict[str, int], ok: bool) -> None:
    assert lines.same_mapping("steps_per_day", "equal", {"a": 1}, found).ok is ok
    assert lines.same_set("quarantine", "each", [("a", 1)], list(found.items())).ok is ok


def test_a_line_for_which_nothing_was_planted_is_red() -> None:
    assert not lines.same_mapping("steps_per_day", "equal", {}, {}).ok
    assert not lines.same_set("gaps", "each", [], []).ok
    assert not lines.glitches(Counter(), Counter()).ok
    assert not lines.duplicates([], Counter(), [], 0).ok
    assert not lines.parity([], 0).ok
    assert not lines.receipts({}, {}).ok
    assert not lines.conservation("archive", {}, {}).ok


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        ({"18-29": (70.0, 6)}, True),
        ({"18-29": (70.00001, 6)}, True),
        ({"18-29": (70.001, 6)}, False),
        ({"18-29": (70.0, 5)}, False),
        ({"18-29": (70.0, 6), "70+": (65.0, 3)}, False),
        ({"18-29": (70.0, 6), "30-39": (65.0, 9)}, False),
        ({}, False),
    ],
)
def test_heart_rate_by_age_group(found: dict[str, tuple[float, int]], ok: bool) -> None:
    assert lines.heart_rate_by_age_group({"18-29": (70.0, 6)}, ["70+"], found).ok is ok


def test_duplicates_lists_the_clients_own_resends_beside() -> None:
    line = lines.duplicates(["a:1:0"], Counter({"a:1:0": 1, "a:1:9": 3}), [], 5)
    assert line.ok
    assert "3 resends" in line.found
    assert not lines.duplicates(["a:1:0"], Counter({"a:1:9": 3}), [], 5).ok
    assert not lines.duplicates(["a:1:0"], Counter({"a:1:0": 1}), ["a:1:0"], 0).ok


@pytest.mark.parametrize(
    ("stored", "duplicate", "said"),
    [
        ({0, 1, 2}, {3}, None),
        ({0, 1}, {3}, "lost"),
        ({0, 1, 2, 3}, {3}, "counted twice"),
        ({0, 1, 2, 4}, {3}, "not in the log"),
    ],
)
def test_conservation(stored: set[int], duplicate: set[int], said: str | None) -> None:
    outcomes = {"stored": {"t:0": stored}, "duplicate": {"t:0": duplicate}}
    line = lines.conservation("archive", {"t:0": {0, 1, 2, 3}}, outcomes)
    assert line.ok is (said is None)
    if said:
        assert said in line.problems[0]


def test_conservation_notices_positions_of_a_partition_that_is_not_there() -> None:
    assert not lines.conservation("archive", {"t:0": {0}}, {"stored": {"t:0": {0}, "t:9": {0}}}).ok


PARITY = {
    "event_day": "2026-03-29",
    "clean_rows": 9,
    "clean_equal": 9,
    "dirty_rows": 1,
    "dirty_equal_after": 1,
    "unexplained": 0,
}


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({}, True),
        ({"clean_equal": 8}, False),
        ({"dirty_equal_after": 0}, False),
        ({"unexplained": 1}, False),
        ({"dirty_rows": 0, "dirty_equal_after": 0}, False),
        ({"clean_rows": 8, "clean_equal": 8}, False),
    ],
)
def test_parity(change: dict[str, int], ok: bool) -> None:
    assert lines.parity([{**PARITY, **change}], 10).ok is ok


CLIENT = {"produced": 10, "accepted": 9, "refused": 1, "dropped": 0, "pending": 0}


@pytest.mark.parametrize(
    ("change", "archived", "ok"),
    [
        ({}, 9, True),
        ({}, 8, False),
        ({"pending": 1, "produced": 11}, 9, False),
        ({"dropped": 1, "produced": 11}, 9, False),
        ({"produced": 11}, 9, False),
    ],
)
def test_receipts(change: dict[str, int], archived: int, ok: bool) -> None:
    assert lines.receipts({"a": {**CLIENT, **change}}, {"a": archived}).ok is ok


@pytest.mark.parametrize(
    ("published", "live", "scored", "ok"),
    [
        ("v2", "v2", 5, True),
        ("v2", "v1", 5, False),
        ("v2", None, 5, False),
        (None, None, 0, False),
        ("v2", "v2", 0, False),
    ],
)
def test_model(published: str | None, live: str | None, scored: int, ok: bool) -> None:
    assert lines.model(published, live, scored).ok is ok


def test_batch() -> None:
    assert lines.batch({"learn: features": True}).ok
    assert not lines.batch({"learn: features": True, "prove: parity": False}).ok
    assert not lines.batch({}).ok


def test_long_lists_of_problems_are_cut_and_say_so() -> None:
    line = lines.same_set("gaps", "each", range(100), [])
    assert len(line.problems) == lines.SHOWN_PROBLEMS + 1
    assert "95 more" in line.problems[-1]
