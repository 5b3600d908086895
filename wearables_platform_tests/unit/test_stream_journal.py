"""A lane's state on disk: it costs what changed, survives a crash anywhere, and is read back whole or not at all."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stream.columns import Columns, Ints
from stream.devices import Devices
from stream.journal import Journal, Pointer
from stream.state import LaneState
from wearables_platform.errors import LogPositionError, StoreRefused


class Levels:
    """Rules' state with 400 bytes per device."""

    def __init__(self, devices: int = 0) -> None:
        self.levels = np.zeros((devices, 50))
        self.touched = np.ones(devices, bool)

    def touch(self, devices: list[int], value: float) -> None:
        self.levels[devices] += value
        self.touched[devices] = True

    def columns(self) -> Columns:
        return {"levels": self.levels}

    def changed(self) -> Ints:
        return np.flatnonzero(self.touched)

    def mark_saved(self) -> None:
        self.touched[:] = False

    def rows_of(self, devices: Ints) -> Columns:
        return {"levels": self.levels[devices]}

    def restore(self, columns: Columns) -> None:
        self.levels = columns["levels"].copy()
        self.touched = np.zeros(len(self.levels), bool)


def lane(devices: int) -> tuple[LaneState, Levels]:
    levels = Levels(devices)
    return LaneState(5, Devices([f"watch-{i}" for i in range(devices)]), {}, levels), levels


def levels_at(directory: Path, pointer: bytes) -> np.ndarray:
    levels = Levels()
    Journal(directory, 5).load(pointer, levels)
    return levels.levels


@pytest.fixture
def file_size_limit() -> Iterator[int]:
    """No file of this process may grow beyond this: what a full disk does, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield 60_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_grows_with_what_changed_and_not_with_what_is_known(tmp_path: Path) -> None:
    written: dict[tuple[int, int], int] = {}
    for known in (1_000, 4_000):
        for changed in (10, 100):
            state, levels = lane(known)
            journal = Journal(tmp_path / f"{known}-{changed}", 5)
            journal.save(state)
            levels.touch(list(range(changed)), 1.0)
            journal.save(state)
            written[known, changed] = journal.written_bytes
    assert written[1_000, 10] == written[4_000, 10]
    assert written[1_000, 100] == written[4_000, 100]
    assert 7 < written[1_000, 100] / written[1_000, 10] < 10


def test_any_pointer_of_the_last_epochs_can_be_resumed_from(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    state, levels = lane(700)
    journal = Journal(tmp_path, 5)
    saved: list[tuple[bytes, np.ndarray]] = []
    for _ in range(40):
        levels.touch(random.choice(700, 400, replace=False).tolist(), 1.0)
        saved.append((journal.save(state), levels.levels.copy()))
        for pointer, expected in saved[-2:]:  # the engine has recorded this one, or the one before
            assert np.array_equal(levels_at(tmp_path, pointer), expected)
    assert len({Pointer.from_bytes(pointer).file for pointer, _ in saved}) > 5
    assert len(list(tmp_path.iterdir())) <= 2


def test_what_was_written_behind_the_last_pointer_is_ignored(tmp_path: Path) -> None:
    state, levels = lane(10)
    journal = Journal(tmp_path, 5)
    levels.touch([1], 1.0)
    pointer = journal.save(state)
    levels.touch([1], 1.0)
    journal.save(state)  # the engine never heard of this one
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b"half a record")
    levels = Levels()
    again = Journal(tmp_path, 5)
    state = again.load(pointer, levels)
    assert levels.levels[1, 0] == 1.0
    levels.touch([2], 5.0)
    assert levels_at(tmp_path, again.save(state))[2, 0] == 5.0


def test_it_goes_on_in_a_new_file_and_keeps_the_old_one_until_the_engine_has_moved(tmp_path: Path) -> None:
    state, _ = lane(10)
    pointer = Journal(tmp_path, 5).save(state)
    for _ in range(3):  # each run ends before the engine has recorded its first pointer
        state = (again := Journal(tmp_path, 5)).load(pointer, Levels())
        again.save(state)
    assert levels_at(tmp_path, pointer).shape == (10, 50)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "is missing"),
        ("cut", "cut short or exchanged"),
        ("flipped", "damaged"),
        ("exchanged", "cut short or exchanged"),
        ("older", "cut short or exchanged"),
        ("foreign pointer", "another version"),
        ("version 1", "another version"),
        ("later format", "format 9"),
    ],
)
def test_a_state_that_cannot_be_trusted_is_refused_with_what_to_do(tmp_path: Path, damage: str, said: str) -> None:
    state, levels = lane(10)
    journal = Journal(tmp_path, 5)
    first = journal.save(state)
    path = next(tmp_path.iterdir())
    older = path.read_bytes()
    levels.touch([3], 1.0)
    pointer = journal.save(state)
    raw = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(raw[:-7])
    elif damage == "flipped":
        raw[-20] ^= 1
        path.write_bytes(raw)
    elif damage == "exchanged":
        other, _ = lane(11)
        Journal(tmp_path / "other", 5).save(other)
        path.write_bytes(next((tmp_path / "other").iterdir()).read_bytes())
    elif damage == "older":
        path.write_bytes(older)
    elif damage == "foreign pointer":
        pointer = b"\x80\x04pickle"
    elif damage == "version 1":
        pointer = b"WPSS\x01\x00 the state itself"
    else:
        pointer = json.dumps(json.loads(pointer) | {"format": 9}).encode()
    with pytest.raises(LogPositionError, match=said) as refused:
        levels_at(tmp_path, pointer)
    assert "remove the stream's recovery directory" in str(refused.value)
    if damage not in ("missing", "exchanged"):
        assert levels_at(tmp_path, first).shape == (10, 50)


def test_a_full_disk_stops_before_anything_is_lost(tmp_path: Path, file_size_limit: int) -> None:
    state, levels = lane(100)
    journal = Journal(tmp_path, 5)
    pointer = journal.save(state)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    levels.touch(list(range(100)), 1.0)
    with pytest.raises(StoreRefused, match="cannot be saved in .*; nothing was lost, free space"):
        journal.save(state)
    assert levels_at(tmp_path, pointer)[:, 0].tolist() == [0.0] * 100
