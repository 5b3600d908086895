"""Every line of the scorecard can fail: a world that fits is green, each kind of misfit is red and named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from wearables_platform.demo import lines
from wearables_platform.demo.lines import LoopSeen, Spike
from wearables_platform.demo.model_loop import ENOUGH_WINDOWS, play_loop

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


CHAMPION, CHALLENGER, WORSE = "day-1", "day-2", "day-3"
SHADOWING = [
    (CHAMPION, "candidate", "trained"),
    (CHAMPION, "in_force", "the first version"),
    (WORSE, "candidate", "trained"),
    (WORSE, "refused", "worse_average_precision: 0.16, the incumbent has 0.57 on the same people"),
    (CHALLENGER, "candidate", "trained"),
    (CHALLENGER, "shadow", "passed the gate"),
]
PROMOTED = [*SHADOWING, (CHAMPION, "retired", "replaced"), (CHALLENGER, "in_force", "a person says so")]
TAKEN_BACK = [*PROMOTED, (CHALLENGER, "rolled_back", "a person says so"), (CHAMPION, "in_force", "again")]
#             champion in force from 0    challenger from 20     champion again from 30
# seconds     10 champion  15 champion    20, 25 challenger      30 champion
SECONDS = [(10, CHAMPION, 3), (15, CHAMPION, 3), (20, CHALLENGER, 3), (25, CHALLENGER, 3), (30, CHAMPION, 3)]
LOOP = LoopSeen(TAKEN_BACK, {CHALLENGER: 40}, SECONDS, [(0, CHAMPION), (20, CHALLENGER), (30, CHAMPION)])


def test_the_model_loop_is_green_when_it_was_gone_through() -> None:
    line = lines.model_loop(LOOP)
    assert line.ok, line.problems
    assert line.found == "1 refused, 40 in shadow, rows 6 > 6 > 3"
    assert lines.model_loop(LOOP, "the watches did not hand in everything").problems == (
        "the watches did not hand in everything",
    )


@pytest.mark.parametrize(
    ("misfit", "said"),
    [
        ({"changes": [one for one in TAKEN_BACK if one[0] != WORSE]}, "no version was refused for being worse"),
        (
            {"changes": [(v, s, "corrupt: no file" if s == "refused" else why) for v, s, why in TAKEN_BACK]},
            "no version was refused for being worse",
        ),
        ({"shadow_windows": {CHALLENGER: 40, WORSE: 1}}, f"{WORSE} was refused, and scored"),
        ({"seconds": [*SECONDS, (35, WORSE, 1)]}, f"{WORSE} was refused, and scored"),
        ({"changes": PROMOTED}, "no version went from shadow to in force and back"),
        (
            {"changes": [one for one in TAKEN_BACK if one[1] != "shadow"]},
            "no version went from shadow to in force and back",
        ),
        ({"shadow_windows": {}}, f"{CHALLENGER} scored nothing in shadow"),
        ({"seconds": [(10, CHALLENGER, 1), *SECONDS[1:]]}, f"at 10 a row says {CHALLENGER}, the registry {CHAMPION}"),
        ({"seconds": SECONDS[:4]}, "rows were scored by"),
        ({"seconds": []}, "rows were scored by"),
        ({"instants": []}, "the registry None"),
    ],
)
def test_the_model_loop_is_red_when_any_part_of_it_is_missing(misfit: dict[str, object], said: str) -> None:
    line = lines.model_loop(LOOP._replace(**misfit))
    assert not line.ok
    assert any(said in problem for problem in line.problems), line.problems


def test_the_demo_promotes_and_takes_back_only_what_it_has_seen_in_rows() -> None:
    many = ENOUGH_WINDOWS
    champion, challenger, again = (10, CHAMPION, many), (20, CHALLENGER, many), (30, CHAMPION, many)
    looks = iter(
        [
            LOOP._replace(changes=SHADOWING, shadow_windows={CHALLENGER: many}, seconds=[]),  # no row beside it yet
            LOOP._replace(changes=SHADOWING, shadow_windows={CHALLENGER: many - 1}, seconds=[champion]),
            *[LOOP._replace(changes=SHADOWING, shadow_windows={CHALLENGER: many}, seconds=[champion])] * 2,
            LOOP._replace(changes=PROMOTED, seconds=[champion]),
            LOOP._replace(changes=PROMOTED, seconds=[champion, challenger]),
            LOOP._replace(changes=TAKEN_BACK, seconds=[champion, challenger]),
            LOOP._replace(changes=TAKEN_BACK, seconds=[champion, challenger, again]),
        ]
    )
    done: list[tuple[str, str]] = []

    def wait(what: str, reached: Callable[[], bool]) -> None:
        while not reached():
            done.append(("waits", what))

    play_loop(lambda: next(looks), lambda what, version, _: done.append((what, version)), wait)
    shadow, rows, back = (
        "the challenger's scores in shadow",
        f"rows scored by {CHALLENGER}",
        "rows scored by the version before",
    )
    assert done == [
        ("waits", shadow),
        ("waits", shadow),
        ("promote", CHALLENGER),
        ("waits", rows),
        ("rollback", CHALLENGER),
        ("waits", back),
    ]
    assert next(looks, None) is None


def test_batch() -> None:
    assert lines.batch({"learn: features": True}).ok
    assert not lines.batch({"learn: features": True, "prove: parity": False}).ok
    assert not lines.batch({}).ok


def test_long_lists_of_problems_are_cut_and_say_so() -> None:
    line = lines.same_set("gaps", "each", range(100), [])
    assert len(line.problems) == lines.SHOWN_PROBLEMS + 1
    assert "95 more" in line.problems[-1]
