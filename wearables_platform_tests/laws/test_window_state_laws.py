"""Seconds taken live, in any steps and from any saved state, are those of the whole recording, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import windows
from stream.order import Passed
from stream.window_state import WindowState
from stream.windows import Derived, accept, close_idle, close_windows, compile_kernels
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.signals import events, glitches, steps, walk
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import FEATURE_COLUMNS, WINDOW_US, compute_all
from wearables_platform.wire import samples
from wearables_platform.wire.codec import decode
from wearables_platform.wire.raw_rates import at_platform_rate
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.simulated_motion import add_glitches, add_pulses, walking
from wearables_platform_tests.stream_logs import START_US, event_bits, row_bits

RATES_HZ = (10.0, 25.0, 32.0, 50.0, 100.0, 104.3, 405.0)


@dataclass(frozen=True)
class Recording:
    """Messages of one device in the order they pass."""

    device_id: str
    payloads: list[bytes]


def recording(seed: int, number: int, seconds: float = 12.0) -> Recording:
    """A device that walks, claps, glitches, pauses and starts anew, in messages of any length."""
    rng = np.random.default_rng([seed, number])
    rate_hz = float(rng.choice(RATES_HZ))
    accel_g = walking(rng, seconds, rate_hz)
    accel_g, _ = add_pulses(accel_g, rng, rate_hz, count=4)
    accel_g = add_glitches(accel_g, rng, rng.integers(0, len(accel_g), len(accel_g) // 50), 1.0, 8.0)
    accel_g[rng.integers(0, len(accel_g), 2), 0] = np.nan
    payloads, at, sequence, boot, wall_us = [], 0, 0, 1, START_US + int(rng.integers(0, 2_000_000))
    while at < len(accel_g):
        size = int(rng.integers(1, max(2, round(rate_hz * 0.6))))
        part = accel_g[at : at + size]
        fate = rng.random()
        if fate < 0.05:
            wall_us += int(rng.integers(100_000, 4_000_000))
        elif fate < 0.08:
            boot, sequence = boot + 1, 0
        payloads.append(payload(number, boot, sequence, wall_us + int(rng.integers(-9_000, 9_000)), rate_hz, part))
        wall_us += round(len(part) * 1e6 / rate_hz)
        at, sequence = at + size, sequence + 1
    return Recording(f"watch-{number}", payloads)


def payload(number: int, boot: int, sequence: int, wall_us: int, rate_hz: float, accel_g: np.ndarray) -> bytes:
    peak_g = float(np.nanmax(np.abs(accel_g))) * 1.1
    return pb.AccelerationBatch(
        device_id=f"watch-{number}",
        boot_id=boot,
        sequence=sequence,
        start_time_us=wall_us,
        start_monotonic_us=wall_us - START_US,
        rate_hz=rate_hz,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=accel_g.astype("<f4").tobytes(),
        block_count=1,
        peak_g=[peak_g] if sequence % 2 else [],
    ).SerializeToString()


def passed(parts: list[list[bytes]]) -> Passed:
    """Messages in order, of devices 0, 1 ...; `parts` has a list for each."""
    rows = at_platform_rate(decode(ACCELERATION, [one for part in parts for one in part]).rows)
    device = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    start_us = rows.column("start_time_us").to_numpy()
    counts = np.array([len(samples.as_py()) // 12 for samples in rows.column("samples")])
    end_us = start_us + np.rint(counts * 1e6 / rows.column("rate_hz").to_numpy()).astype(np.int64)
    nothing = np.zeros(len(device), np.int64)
    return Passed(rows, device, start_us, end_us, start_us, nothing, nothing.astype(bool))


class Live:
    """Window state under way, and all it gave."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.state = names, WindowState()
        self.rows: dict[tuple[str, int], tuple] = {}
        self.events: set[tuple] = set()

    def take(self, parts: list[list[bytes]]) -> None:
        assert accept(self.state, passed(parts), self.names) == []

    def step(self) -> None:
        for derived in close_windows(self.state, self.names):
            self.keep(derived)

    def keep(self, derived: Derived) -> None:
        rows, events = row_bits(derived.device_ids, derived.windows), event_bits(derived.device_ids, derived.events)
        assert not self.rows.keys() & rows.keys()
        assert not self.events & events
        self.rows |= rows
        self.events |= events

    def restart(self) -> None:
        columns, self.state = self.state.columns(), WindowState()
        self.state.restore(columns)


def whole(recordings: list[Recording]) -> tuple[dict, set]:
    rows = decode(ACCELERATION, [one for each in recordings for one in each.payloads]).rows
    made = samples_from_messages(pa.RecordBatch.from_arrays(rows.columns, rows.schema.names))
    windows_, events = compute_all(made.samples)
    return row_bits(made.device_ids, windows_), event_bits(made.device_ids, events)


@given(seed=st.integers(0, 2**31), schedule=st.integers(0, 2**31))
@settings(max_examples=12)
def test_any_steps_and_any_restarts_give_the_rows_and_events_of_the_whole(seed: int, schedule: int) -> None:
    rng = np.random.default_rng(schedule)
    recordings = [recording(seed, number) for number in range(3)]
    live = Live([one.device_id for one in recordings])
    queues = [list(one.payloads) for one in recordings]
    while any(queues):
        many = rng.integers(0, 7, 3).tolist()
        live.take([queue[:n] for queue, n in zip(queues, many, strict=True)])
        for queue, n in zip(queues, many, strict=True):
            del queue[:n]
        fate = rng.choice(["step", "step", "restart", "both", "idle", "none"])
        if fate in ("step", "both"):
            live.step()
        if fate in ("restart", "both"):
            live.restart()
        if fate == "idle":
            close_idle(live.state, live.names, START_US + 10**12, 0)  # what is provisional changes nothing
    live.step()
    rows, events = whole(recordings)
    closed_us = live.state.progress["closed_us"]
    closed = {name: int(closed_us[number]) for number, name in enumerate(live.names)}
    assert live.rows == {key: row for key, row in rows.items() if key[1] < closed[key[0]]}
    # An event is over with its onset's second, which may be the one after that of its start.
    assert live.events <= events
    assert {event for event in events if event[1] < closed[event[0]] - WINDOW_US} <= live.events


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10)
def test_at_the_end_provisional_rows_are_those_of_what_came(seed: int) -> None:
    recordings = [recording(seed, number) for number in range(2)]
    live = Live([one.device_id for one in recordings])
    live.take([one.payloads for one in recordings])
    live.step()
    for derived in close_idle(live.state, live.names, START_US + 10**12, 0):
        assert derived.provisional
        derived.windows.features["flags"] = (derived.windows.features["flags"] & ~1024).astype(np.int32)
        live.keep(derived)
    rows, events = whole(recordings)
    assert live.rows == rows
    assert live.events == events


@pytest.fixture(scope="module")
def fleet() -> list[list[bytes]]:
    """Ten seconds of messages of 100 ms at 100 Hz, for each of 50 devices."""
    rng = np.random.default_rng(5)
    accel_g = rng.normal(0, 0.05, (100, 10, 3)) + (0, 0, 1)
    return [
        [payload(number, 1, i, START_US + i * 100_000 + number * 1_300, 100.0, accel_g[i]) for i in range(100)]
        for number in range(50)
    ]


def test_a_quiet_device_is_remembered_in_less_than_four_kilobytes(fleet: list[list[bytes]]) -> None:
    live, sizes = Live([f"watch-{number}" for number in range(len(fleet))]), []
    for begin in range(0, 100, 2):
        live.take([part[begin : begin + 2] for part in fleet])
        live.step()
        live.state.put_in()
        sizes.append(live.state.nbytes() / len(fleet))
    assert len(live.rows) == len(fleet) * 7
    assert max(sizes[40:]) < 4_096
    assert np.mean(sizes[40:]) < 3_400


def test_samples_are_looked_at_little_more_than_once(fleet: list[list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    live, looked_at = Live([f"watch-{number}" for number in range(len(fleet))]), []
    genuine = windows.take_seconds

    def counting(carry: object, samples: SampleTable, *rest: object) -> object:
        looked_at.append(len(samples))
        return genuine(carry, samples, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(windows, "take_seconds", counting)
    for begin in range(0, 100, 2):
        live.take([part[begin : begin + 2] for part in fleet])
        live.step()
    assert sum(looked_at) < 1.7 * 1_000 * len(fleet)
    assert {column.name for column in FEATURE_COLUMNS} == set(replace(live.state.rows).features)


def test_kernels_are_compiled_once_and_for_all(fleet: list[list[bytes]]) -> None:
    kernels = (
        walk._walk, steps._count_steps, events._describe, glitches._replace, samples._expand, samples._copy_runs,
        windows._admit,
    )  # fmt: skip
    compile_kernels()
    known = [list(kernel.signatures) for kernel in kernels]  # type: ignore[attr-defined]
    assert all(known)
    live = Live([f"watch-{number}" for number in range(len(fleet))])
    live.take([part[:50] for part in fleet])
    live.step()
    live.restart()
    live.take([part[50:] for part in fleet])
    live.step()
    assert [list(kernel.signatures) for kernel in kernels] == known  # type: ignore[attr-defined]
