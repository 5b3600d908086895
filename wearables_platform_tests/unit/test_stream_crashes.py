"""A record that kills the process is found by its crashes alone (F25)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.crashes import CRASHES_BEFORE_CARE, CrashBook, blanked, with_poison_named
from stream.decode import DeadLetter
from stream.order import Late
from stream.partition import Harvest
from stream.poison import touched_by
from wearables_platform.clients.kafka import Fetch
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.errors import ConfigError, ModelRefused, StoreUnavailable
from wearables_platform_tests.stream_logs import START_US, Record, message, to_fetch

TOPIC, OTHER = "topic", "other"


class Died(BaseException):
    """The process is gone: nothing else of it runs."""


def fetch_of(topic: str, begin: int, end: int) -> Fetch:
    offsets = np.arange(begin, end)
    payloads = [f"{topic} {offset}".encode() for offset in offsets.tolist()]
    return Fetch(topic, 0, offsets, offsets, [b"key"] * len(offsets), payloads, {len(offsets) - 1: "verdict"})


def run_once(path: Path, resume: int, end: int, poison: set[int]) -> set[int]:
    """One life of a process: works through the log, or dies; returns what it set aside."""
    book = CrashBook(path, {TOPIC: resume, OTHER: 0})
    aside: set[int] = set()
    seen: list[int] = []
    for portion in book.portions([fetch_of(TOPIC, resume, end), fetch_of(OTHER, 0, 50)]):
        with book.working_on(portion):
            for fetch in portion:
                work = blanked(fetch, book.condemned(fetch.topic))
                alive = [p for p in work.payloads if p]
                aside |= {o for o, p in zip(work.offsets.tolist(), work.payloads, strict=True) if not p}
                if fetch.topic == TOPIC and poison & {int(p.split()[1]) for p in alive}:
                    raise Died
                seen += fetch.offsets.tolist() if fetch.topic == TOPIC else []
    assert seen == list(range(resume, end))
    book.close()
    return aside


def lives(path: Path, resume: int, end: int, poison: set[int]) -> tuple[int, set[int]]:
    for life in range(1, 200):
        try:
            return life, run_once(path, resume, end, poison)
        except Died:
            continue
    pytest.fail("the poison was never found")


def test_one_record_of_ten_thousand_is_found_within_ten_crashes(tmp_path: Path) -> None:
    life, aside = lives(tmp_path / "lane.json", 500, 10_500, {7_321})
    assert aside == {7_321}
    assert life <= CRASHES_BEFORE_CARE + 8


@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=4))
@settings(max_examples=60)
def test_exactly_the_poison_is_set_aside(size: int, poison: set[int]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        within = {offset for offset in poison if offset < size}
        assert lives(Path(directory) / "lane.json", 0, size, poison)[1] == within


def test_kills_that_strike_elsewhere_condemn_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lane.json"
    for _ in range(30):  # killed between two pieces of work, again and again
        CrashBook(path, {TOPIC: 10, OTHER: 0})
    book = CrashBook(path, {TOPIC: 10, OTHER: 0})
    assert book.condemned(TOPIC) == []
    assert run_once(path, 10, 40, set()) == set()
    assert json.loads(path.read_text())["crashes"] == 0


def test_a_lane_without_crashes_works_on_whole_fetches(tmp_path: Path) -> None:
    book = CrashBook(tmp_path / "lane.json", {TOPIC: 0})
    fetches = [fetch_of(TOPIC, 0, 10), fetch_of(OTHER, 0, 10)]
    assert book.portions(fetches) == [fetches]
    book.close()
    with (
        pytest.raises(ZeroDivisionError),
        (second := CrashBook(tmp_path / "lane.json", {TOPIC: 0})).working_on(fetches),
    ):
        1 / 0  # noqa: B018 - an exception in the middle of work is a crash
    second.close()
    assert json.loads((tmp_path / "lane.json").read_text())["running"] is True


def test_what_was_condemned_is_forgotten_when_the_log_has_moved_on(tmp_path: Path) -> None:
    path = tmp_path / "lane.json"
    lives(path, 0, 20, {3})
    assert CrashBook(path, {TOPIC: 2, OTHER: 0}).condemned(TOPIC) == [3]
    assert CrashBook(path, {TOPIC: 20, OTHER: 0}).condemned(TOPIC) == []


def test_a_condemned_record_is_a_dead_letter_with_its_bytes() -> None:
    fetch = fetch_of(TOPIC, 5, 9)
    letters = (DeadLetter(6, "empty", "", b""), DeadLetter(7, "undecodable", "", b"else"))
    named = with_poison_named(Harvest(TOPIC, 0, None, letters), fetch, [6])
    assert [(one.offset, str(one.reason), one.payload) for one in named.dead_letters] == [
        (6, "poison", b"topic 6"),
        (7, "undecodable", b"else"),
    ]


@pytest.mark.parametrize("wrong", [StoreUnavailable("the lake is away"), ModelRefused("NaN"), ConfigError("no lake")])
def test_what_is_not_in_the_record_never_condemns_it(tmp_path: Path, wrong: Exception) -> None:
    path = tmp_path / "lane.json"
    for _ in range(3):  # dead without a word: from now on work is noted
        CrashBook(path, {TOPIC: 0, OTHER: 0})
    for _ in range(40):
        book = CrashBook(path, {TOPIC: 0, OTHER: 0})
        with pytest.raises(type(wrong)), book.working_on([fetch_of(TOPIC, 0, 1)]):
            raise wrong
        assert book._note.work is None
    assert book._note.suspect is None
    assert book.condemned(TOPIC) == []


def test_the_windows_of_a_condemned_record_are_named() -> None:
    payload = message("watch-1", 2**62 + 5, 300, START_US, 7, n=25, rate_hz=50.0)
    fetch = to_fetch([Record(START_US + 9, "watch-1", payload)], 0, 1)
    named = with_poison_named(Harvest(fetch.topic, 0, None), fetch, [0])
    assert named.late == [Late("watch-1", 2**62 + 5, 300, START_US, START_US + 500_000, START_US + 9, "poison")]
    assert named.has_history


@pytest.mark.parametrize("change", ["cut", "noise", "impossible", "forged"])
def test_a_condemned_record_that_nobody_could_use_touches_nothing(change: str) -> None:
    start_us = START_US + (400 * 86_400_000_000 if change == "impossible" else 0)
    payload = message("watch-1", 2, 3, start_us, 7)
    payload = {"cut": payload[:-4], "noise": bytes(range(255, 200, -1))}.get(change, payload)
    assert touched_by(ACCELERATION.topic, b"watch-2" if change == "forged" else b"watch-1", payload, START_US) == []


@given(st.binary(max_size=80))
@settings(max_examples=100)
def test_any_bytes_may_be_condemned(payload: bytes) -> None:
    assert touched_by(ACCELERATION.topic, b"watch-1", payload, START_US) == []
