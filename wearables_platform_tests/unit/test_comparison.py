"""What differs between batch and stream, and what is done about it, without any store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.batch.comparison import (
    DayKeys,
    Evidence,
    KeyedRows,
    compare,
    count_parity,
    plan_repair,
)
from wearables_platform.batch.day_messages import DeviceEnd
from wearables_platform.batch.repair import DayEvidence

NAN = float("nan")
VALUES = ("value",)


def rows(values: dict[int, float], *, provisional: tuple[int, ...] = (), batch: tuple[int, ...] = ()) -> KeyedRows:
    keys = np.array(sorted(values), np.int64)
    return KeyedRows(
        keys,
        {
            "value": np.array([values[key] for key in keys.tolist()], np.float64),
            "provisional": np.isin(keys, provisional),
            "from_stream": ~np.isin(keys, batch),
        },
    )


def evidence(
    *,
    dirty: dict[int, str] | None = None,
    settled: range = range(100),
    awaited: tuple[int, ...] = (),
    over: bool = True,
) -> Evidence:
    return Evidence(dirty or {}, np.array(settled, np.int64), np.array(awaited, np.int64), over)


@pytest.mark.parametrize(
    ("computed", "stored", "known", "put", "remove"),
    [
        # computed by batch, stored now, what is known, rows written, rows removed
        ({1: 1.0}, rows({1: 1.0}), evidence(), {}, {}),
        ({1: NAN}, rows({1: NAN}), evidence(), {}, {}),
        ({1: 0.0}, rows({1: -0.0}), evidence(), {1: "different"}, {}),
        ({1: 2.0}, rows({1: 1.0}), evidence(dirty={1: "late"}), {1: "late"}, {}),
        ({1: 2.0}, rows({1: 1.0}, batch=(1,)), evidence(), {1: "recomputed"}, {}),
        ({1: 2.0}, rows({1: 1.0}, provisional=(1,)), evidence(), {1: "provisional"}, {}),
        ({1: 1.0}, rows({1: 1.0}, provisional=(1,)), evidence(), {1: "provisional"}, {}),
        ({1: 2.0}, rows({1: 1.0}, provisional=(1,)), evidence(over=False), {}, {}),
        ({1: 2.0}, rows({1: 1.0}), evidence(settled=range(0)), {}, {}),
        ({1: 1.0}, rows({}), evidence(), {1: "missing"}, {}),
        ({1: 1.0}, rows({}), evidence(awaited=(1,)), {}, {}),
        ({1: 1.0}, rows({}), evidence(awaited=(1,), dirty={1: "late"}), {1: "late"}, {}),
        ({}, rows({1: 1.0}), evidence(), {}, {1: "vanished"}),
        ({}, rows({1: 1.0}), evidence(dirty={1: "overlap"}), {}, {1: "overlap"}),
        ({}, rows({1: 1.0}), evidence(settled=range(0)), {}, {}),
    ],
)
def test_batch_replaces_what_it_may_and_says_why(
    computed: dict[int, float], stored: KeyedRows, known: Evidence, put: dict[int, str], remove: dict[int, str]
) -> None:
    plan = plan_repair(rows(computed), stored, VALUES, known)
    assert (dict(plan.put), dict(plan.remove)) == (put, remove)


VALUE = st.sampled_from([0.0, -0.0, 1.0, NAN, 1e-300])
TABLE = st.dictionaries(st.integers(0, 30), VALUE, max_size=20)


@given(TABLE, TABLE)
def test_comparing_covers_every_key_once(left: dict[int, float], right: dict[int, float]) -> None:
    found = compare(rows(left), rows(right), VALUES)
    parts = [found.equal, found.different, found.only_left, found.only_right]
    keys = np.concatenate(parts).tolist()
    assert sorted(keys) == sorted(left.keys() | right.keys())


@given(TABLE, TABLE, st.dictionaries(st.integers(0, 30), st.just("late")))
def test_a_repair_makes_the_stored_rows_equal_and_a_second_one_changes_nothing(
    computed: dict[int, float], stored: dict[int, float], dirty: dict[int, str]
) -> None:
    known = evidence(dirty=dirty)
    plan = plan_repair(rows(computed), rows(stored), VALUES, known)
    after = {key: value for key, value in stored.items() if key not in plan.put and key not in plan.remove}
    after |= {key: computed[key] for key in plan.put}
    again = rows(after, batch=tuple(plan.put))
    assert len(compare(rows(computed), again, VALUES).equal) == len(computed) == len(after)
    assert len(plan_repair(rows(computed), again, VALUES, known)) == 0


@given(TABLE, TABLE, st.dictionaries(st.integers(0, 30), st.just("late")))
def test_parity_explains_every_difference_by_a_cause_or_counts_it(
    computed: dict[int, float], streamed: dict[int, float], dirty: dict[int, str]
) -> None:
    counts = count_parity(rows(computed), rows(streamed), rows(computed), VALUES, evidence(dirty=dirty))
    found = compare(rows(computed), rows(streamed), VALUES)
    without_cause = {
        key
        for part in (found.different, found.only_left, found.only_right)
        for key in part.tolist()
        if key not in dirty
    }
    assert counts.unexplained == len(without_cause)
    assert counts.clean == len([key for key in streamed if key not in dirty])
    assert counts.dirty == counts.dirty_equal_after


def test_a_row_with_a_cause_need_not_be_equal_before_batch_may_replace_it() -> None:
    computed, said, dirty = {1: 1.0, 2: 2.0}, {1: 9.0, 2: 9.0}, {1: "late", 2: "late"}
    counts = count_parity(
        rows(computed), rows(said), rows(said), VALUES, evidence(dirty=dirty, settled=range(2), awaited=())
    )
    assert (counts.dirty, counts.dirty_equal_after, counts.awaited) == (1, 0, 1)
    assert (counts.clean, counts.unexplained) == (0, 0)


def test_keys_lead_back_to_device_and_instant() -> None:
    keys = DayKeys(["a", "b"], 1_000)
    made = keys.of(["b", "a"], np.array([1_500, 1_000]))
    assert keys.devices(made) == ["b", "a"]
    assert keys.instants_us(made).tolist() == [1_500, 1_000]


@pytest.mark.parametrize(
    ("stream_read", "archive_read", "start_s", "settled", "awaited"),
    [
        # The archive had everything the stream has read; the device's data end at 100 s, position 9.
        ({0: 10}, {0: 10}, 50, True, False),
        ({0: 10}, {0: 10}, 99, True, True),  # its halo is not complete: the stream may still finish it
        ({0: 9}, {0: 10}, 50, True, True),  # the stream has not read the device's last message
        ({0: 11}, {0: 10}, 99, False, True),  # the stream knows more than the archive had
        ({0: 11}, {0: 10}, 30, True, False),  # but not about windows a minute before the device's end
        ({}, {0: 10}, 99, True, False),  # no stream ever ran
        ({0: 11}, {}, 50, True, False),  # the log is gone: nobody can be ahead of the archive
    ],
)
def test_batch_waits_for_whoever_knows_more(
    stream_read: dict[int, int], archive_read: dict[int, int], start_s: int, settled: bool, awaited: bool
) -> None:
    ends = {"watch-1": DeviceEnd(100_000_000, 0, 9)}
    known = DayEvidence({}, ends, stream_read, archive_read)
    keys = DayKeys(["watch-1"], 0)
    at = KeyedRows(keys.of(["watch-1"], np.array([start_s * 1_000_000])), {})
    found = known.about(keys, [at])
    assert (len(found.settled) == 1, len(found.awaited) == 1) == (settled, awaited)


@pytest.mark.parametrize(
    ("start_s", "heart_end_s", "heart_read", "awaited"),
    [
        (0, 30, 10, False),  # movement went 40 s past what the stream needs; nobody waits for heart rate
        (65, 30, 10, True),  # neither has got there
        (65, 200, 10, False),  # heart rate has
        (0, 30, 9, True),  # a heart rate is still to be read
        (0, None, 10, False),  # a device without one
    ],
)
def test_an_event_is_awaited_until_one_sensor_has_got_past_it(
    start_s: int, heart_end_s: int | None, heart_read: int, awaited: bool
) -> None:
    heart_ends = {} if heart_end_s is None else {"watch-1": DeviceEnd(heart_end_s * 1_000_000, 0, 9)}
    heart = DayEvidence({}, heart_ends, {0: heart_read}, {0: 10})
    ends = {"watch-1": DeviceEnd(100_000_000, 0, 9)}
    hour_us, minute_us = 3_600_000_000, 60_000_000
    known = DayEvidence({}, ends, {0: 10}, {0: 10}, bucket_us=hour_us, said_after_us=minute_us, also=heart)
    keys = DayKeys(["watch-1"], 0)
    at = KeyedRows(keys.of(["watch-1"], np.array([start_s * 1_000_000])), {})
    assert (len(known.about(keys, [at]).awaited) == 1) == awaited
