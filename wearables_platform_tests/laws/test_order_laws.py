"""Order's laws: the compiled form decides as the plain one does, however the log is cut and wherever it is resumed."""

from __future__ import annotations

import copy

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Delta, merged
from stream.decode import Messages
from stream.order import Ordered, OrderState, restore_order
from stream.order_columns import BOOT_SILENT_US, MAX_BOOTS, MAX_HELD_SPAN, MAX_HOLES
from wearables_platform_tests.order_model import OrderModel, Sent

HOLD_US = 2_000_000
START_US = 1_774_742_400_000_000
STEP_US = 100_000


def to_messages(log: list[Sent]) -> Messages:
    """The columns that order reads, and a tag that tells each record from every other."""
    offset, start_us, end_us, log_us, clock_us = (
        np.array([getattr(sent, name) for sent in log], np.int64)
        for name in ("offset", "start_us", "end_us", "log_us", "clock_us")
    )
    rows = pa.record_batch(
        {
            "device_id": pa.array([sent.device_id for sent in log], pa.string()),
            "boot_id": pa.array([sent.boot for sent in log], pa.uint64()),
            "sequence": pa.array([sent.sequence for sent in log], pa.uint64()),
            "start_time_us": start_us,
            "start_monotonic_us": start_us - clock_us,
            "tag": offset,
        }
    )
    return Messages(rows, offset, log_us, log_us, start_us, end_us)


def at_end_us(log: list[Sent]) -> int:
    return log[-1].log_us + 10 * HOLD_US if log else START_US


class Run:
    """A log taken in pieces."""

    def __init__(self) -> None:
        self.state = OrderState()
        self.left: list[tuple[str, int, int, int, bool]] = []
        self.late: list[tuple] = []
        self.gaps: list[tuple] = []
        self.clock_steps: list[tuple] = []
        self.duplicates: list[int] = []
        self.quarantined: list[int] = []

    def take(self, log: list[Sent], log_us: int | None = None) -> None:
        messages = to_messages(log)
        ordered = restore_order(
            self.state,
            messages,
            log_times=(messages.offset, messages.log_us),
            next_offset=log[-1].offset + 1 if log else 10**9,
            log_us=log[-1].log_us if log_us is None else log_us,
            hold_us=HOLD_US,
        )
        self._add(ordered)

    def _add(self, ordered: Ordered) -> None:
        passed = ordered.passed
        names = [self.state.devices[number] for number in passed.device.tolist()]
        assert passed.rows.column("device_id").to_pylist() == names
        assert passed.rows.column("start_time_us").to_pylist() == passed.start_us.tolist()
        columns = (passed.rows.column("tag").to_pylist(), passed.log_us.tolist(), passed.segment.tolist())
        self.left += list(zip(names, *columns, passed.stepped.tolist(), strict=True))
        self.duplicates += ordered.duplicates.tolist()
        self.quarantined += ordered.quarantined.tolist()
        for name in ("late", "gaps", "clock_steps"):
            getattr(self, name).extend(getattr(ordered, name))

    def per_device(self) -> dict[str, list[tuple]]:
        """What passed, by device, in the order it did."""
        found: dict[str, list[tuple]] = {}
        for device_id, *rest in self.left:
            found.setdefault(device_id, []).append(tuple(rest))
        return found


def require_as_model(run: Run, log: list[Sent]) -> None:
    model = OrderModel(HOLD_US).run(log, at_end_us(log))
    expected: dict[str, list[tuple]] = {}
    for one in model.left:
        row = (one.sent.offset, one.sent.log_us, one.segment, one.stepped)
        expected.setdefault(one.sent.device_id, []).append(row)
    assert run.per_device() == expected
    assert run.duplicates == model.duplicates
    assert run.quarantined == model.quarantined
    for name in ("late", "gaps", "clock_steps"):
        assert sorted(getattr(run, name)) == sorted(getattr(model, name)), name


def run_cut(log: list[Sent], cuts: list[int], resume_at: set[int] = frozenset()) -> Run:
    run = Run()
    bounds = [0, *sorted(set(cuts)), len(log)]
    for i, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        if begin < end:
            run.take(log[begin:end])
        if i in resume_at:
            run.state = resumed(run.state)
    run.take([], at_end_us(log))
    return run


def resumed(state: OrderState) -> OrderState:
    again = OrderState(copy.deepcopy(state.devices))
    again.restore(copy.deepcopy(state.columns()))
    assert same_columns(again, state.columns())
    return again


def same_columns(state: OrderState, columns: dict) -> bool:
    found = state.columns()
    return found.keys() == columns.keys() and all(
        found[name].equals(columns[name])
        if isinstance(found[name], pa.RecordBatch)
        else np.array_equal(found[name], columns[name])
        for name in found
    )


@st.composite
def logs(draw: st.DrawFn) -> list[Sent]:
    """Few devices, several boots, and sequences that do everything a sequence can do wrong."""
    log_us, log = START_US, []
    position: dict[tuple[str, int], int] = {}
    devices, boots = draw(st.integers(1, 3)), draw(st.sampled_from((1, 2, MAX_BOOTS + 3)))
    moves = ("on",) * 6 + ("skip", "back", "twice", "swap", "jump", "far", "wild", "clock", "pause", "sleep")
    clock_us = START_US
    for _ in range(draw(st.integers(1, 60))):
        key = f"watch-{draw(st.integers(1, devices))}", draw(st.integers(1, boots))
        move, at = draw(st.sampled_from(moves)), position.get(key, 0)
        log_us += draw(st.sampled_from((0, 1_000, STEP_US, STEP_US)))
        if move == "pause":
            log_us += draw(st.sampled_from((HOLD_US - 1, HOLD_US, HOLD_US + 1)))
        if move == "sleep":
            log_us += BOOT_SILENT_US
        if move == "clock":
            clock_us += draw(st.sampled_from((-900_000, 500_000, 500_001)))
        ahead = {"skip": 1, "swap": 3, "jump": 60, "far": MAX_HELD_SPAN, "wild": 400_005}.get(move, 0)
        behind = {"back": draw(st.integers(1, 9)), "twice": 1}.get(move, 0)
        sequence = draw(st.sampled_from((2**53, 2**53 + 1))) if move == "wild" and ahead % 2 else at + ahead
        sequence = max(0, sequence - behind)
        start_us = clock_us + sequence * STEP_US % 2**40
        log.append(Sent(*key, sequence, start_us, start_us + STEP_US, clock_us, log_us, len(log)))
        if move not in ("back", "twice", "wild"):
            position[key] = sequence + 1 if move != "swap" else at
    return log


@given(logs(), st.lists(st.integers(0, 60), max_size=8), st.sets(st.integers(0, 8)))
@settings(max_examples=150)
def test_any_cut_and_any_resume_point_decide_as_the_plain_form_does(
    log: list[Sent], cuts: list[int], resume_at: set[int]
) -> None:
    require_as_model(run_cut(log, [min(cut, len(log)) for cut in cuts], resume_at), log)


def planted(kind: str, messages: int = 6_000, devices: int = 5) -> list[Sent]:
    """A steady fleet of which every tenth message goes wrong."""
    random = np.random.default_rng(3)
    log: list[tuple[int, int, int]] = []  # (log time, device, sequence)
    for i in range(messages):
        device, sequence = i % devices, i // devices
        at_us = START_US + sequence * STEP_US
        fate = random.random() < 0.1
        if fate and kind == "gaps":
            continue
        delay_us = int(random.integers(1, 4 * HOLD_US)) if fate and kind != "duplicates" else 0
        log.append((at_us + delay_us, device, sequence))
        if fate and kind == "duplicates":
            log.append((at_us + int(random.integers(0, 4 * HOLD_US)), device, sequence))
    log.sort(key=lambda record: record[0])
    return [
        Sent(f"watch-{d}", 7, s, START_US + s * STEP_US, START_US + (s + 1) * STEP_US, START_US, at_us, offset)
        for offset, (at_us, d, s) in enumerate(log)
    ]


@pytest.mark.parametrize("kind", ["duplicates", "delays", "gaps"])
def test_one_message_in_ten_gone_wrong_is_decided_as_by_the_plain_form(kind: str) -> None:
    log = planted(kind)
    run = run_cut(log, list(range(500, len(log), 500)), {3, 7})
    require_as_model(run, log)
    assert {"duplicates": run.duplicates, "delays": run.late, "gaps": run.gaps}[kind]


def test_holes_beyond_the_bound_become_a_floor() -> None:
    sent = [*range(0, 4 * MAX_HOLES, 2), *range(1, 4 * MAX_HOLES, 2)]
    log = [
        Sent("watch-1", 7, s, START_US + s, START_US + s + 1, START_US, START_US + i * (HOLD_US + 1), i)
        for i, s in enumerate(sent)
    ]
    run = run_cut(log, [100, 700, 800], {1, 2})
    require_as_model(run, log)
    assert {late[-1] for late in run.late} == {"too_old", "late"}


def test_a_device_that_restarts_all_the_time_is_remembered_up_to_a_bound() -> None:
    log = [
        Sent("watch-1", boot, s, START_US, START_US + 1, START_US, START_US + boot * STEP_US, 2 * boot + s)
        for boot in range(1, 500)
        for s in (0, 1)
    ]
    log = [sent._replace(offset=i) for i, sent in enumerate(log)]
    run = Run()
    for begin in range(0, len(log), 10):
        run.take(log[begin : begin + 10])
    assert run.state.columns()["boots.boot"].tolist() == list(range(500 - MAX_BOOTS, 500))
    assert run.state.forgotten == 499 - MAX_BOOTS
    assert len(run.state.boots) < 100  # forgotten boots give their place to others
    require_as_model(run, log)


def test_a_boot_silent_for_long_is_forgotten_and_met_again_like_a_new_one() -> None:
    def sent(boot: int, sequence: int, log_us: int, offset: int) -> Sent:
        return Sent(f"watch-{boot}", boot, sequence, START_US, START_US + 1, START_US, log_us, offset)

    later_us = START_US + BOOT_SILENT_US + 1
    others = [sent(boot, 0, later_us, 10 + boot) for boot in range(100, 200)]
    log = [sent(1, 0, START_US, 0), sent(2, 0, later_us, 1), *others, sent(1, 0, later_us, 400)]
    log = [one._replace(offset=i) for i, one in enumerate(log)]
    run = run_cut(log, [1, 2, len(log) - 1])
    require_as_model(run, log)
    assert run.duplicates == []


def test_saved_changes_put_together_are_the_whole() -> None:
    log = planted("delays", messages=3_000)[:2_600]
    run = Run()
    run.take(log[:500])
    base, deltas = copy.deepcopy(run.state.columns()), []
    run.state.mark_saved()
    for begin in range(500, len(log), 300):
        part = [sent for sent in log[begin : begin + 300] if sent.device_id != f"watch-{begin // 300 % 5}"]
        run.take(part)
        changed = run.state.changed()
        deltas.append(Delta(changed, copy.deepcopy(run.state.rows_of(changed))))
        run.state.mark_saved()
    again = OrderState(copy.deepcopy(run.state.devices))
    again.restore(merged(base, deltas))
    assert same_columns(again, run.state.columns())
    assert run.state.held
    assert run.state.holes


def test_a_device_in_order_costs_a_hundred_and_fifty_bytes() -> None:
    devices = 5_000
    log = [
        Sent(f"watch-{i % devices}", 7 + i % devices, i // devices, START_US, START_US + 1, START_US, START_US, i)
        for i in range(2 * devices)
    ]
    run = Run()
    for begin in range(0, len(log), 1_000):
        run.take(log[begin : begin + 1_000])
    assert run.state.nbytes / devices <= 150
