"""The benchmarks' own parts: what they send is what the thin client would, and the page tells of every figure."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from typing import cast

import numpy as np
import pytest

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.codec import decode
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks import fleet, p6_latency, report
from wearables_platform_tests.benchmarks.__main__ import MODULES, line
from wearables_platform_tests.benchmarks.fleet_log import BLOCK_US, SOURCE_HZ, LogShape, records_of
from wearables_platform_tests.benchmarks.live import Platform, Run
from wearables_platform_tests.benchmarks.p2_bad import SHARES, FaultPlan
from wearables_platform_tests.benchmarks.p7_scaling import DOUBLINGS, FEW, MANY, SIZES, shapes, slope
from wearables_platform_tests.benchmarks.runner import Lap, compare, judged

PAGE = report.PAGE.read_text()


@pytest.mark.parametrize("name", MODULES)
def test_every_figure_stands_on_the_page_with_its_command(name: str) -> None:
    assert re.search(rf"^\| {name}(-\w+)? \| ", PAGE, re.MULTILINE)
    assert re.search(rf"`make bench ONLY=(\w[\w-]*,)*{name}\b", PAGE)


@pytest.mark.parametrize("name", MODULES)
def test_every_figure_has_a_module(name: str) -> None:
    assert importlib.util.find_spec(f"wearables_platform_tests.benchmarks.{MODULES[name]}")


def test_the_page_names_no_figure_that_is_not_measured_by_anything() -> None:
    rows = set(re.findall(r"^\| (P\d+\w*)(?:-\w+)? \| ", PAGE, re.MULTILINE))
    assert rows == {name.split("-")[0] for name in MODULES}


@pytest.mark.parametrize("rate_hz", [100, SOURCE_HZ])
def test_parts_encoded_apart_are_the_message(rate_hz: int) -> None:
    shape = LogShape(3, 20, rate_hz)
    payload = shape.payload(2, 7)
    message = pb.AccelerationBatch.FromString(payload)
    assert message.SerializeToString() == payload
    assert (message.device_id, message.sequence, message.start_time_us) == (
        "bench-00002",
        7,
        shape.start_us + 7 * BLOCK_US,
    )
    assert [record.payload for record in records_of(shape)][7 * 3 + 2] == payload
    assert sum(len(record.payload) for record in records_of(shape)) == shape.payload_bytes
    assert len(decode(ACCELERATION, [fleet.payload(shape.start_us, 5, 2, 7)]).rows) == 1


def test_a_log_with_faults_holds_what_its_plan_says() -> None:
    plan = FaultPlan(LogShape(20, 200), SHARES)
    records = list(plan.records())
    expected = plan.expected()
    decoded = decode(ACCELERATION, [record.payload for record in records])
    identities = Counter(
        zip(decoded.rows.column("device_id").to_pylist(), decoded.rows.column("sequence").to_pylist(), strict=True)
    )
    forged = sum(
        1 for i, row in zip(decoded.index, decoded.rows.column("device_id").to_pylist(), strict=True)
        if row != f"bench-{records[i].device:05d}"
    )  # fmt: skip
    assert len(records) == sum(expected.outcomes.values())
    assert len(decoded.rejected) + forged == expected.outcomes["dead_lettered"]
    assert sum(count - 1 for count in identities.values()) >= expected.outcomes["duplicate"] > 0
    bad = 1 - (plan.shape.messages - expected.outcomes["dead_lettered"]) / plan.shape.messages
    assert 0.03 < bad < 0.07


def test_a_round_that_lost_something_has_no_speed() -> None:
    laps = iter([True] * 5 + [False] + [True] * 20)
    sides = {side: lambda: Lap(10, 1.0, next(laps)) for side in ("ours", "theirs")}
    figure = compare("P0", sides, rounds=2, must=0.5, stretch=1, unit="x")
    assert (figure.ratio, figure.ok, figure.loss_check) == (1.0, False, False)
    assert "DATA WRONG" in line(vars(figure))


@pytest.mark.parametrize(
    ("power", "verdict"), [(0.93, "missed"), (0.955, "ok"), (0.99, "stretch"), (1.03, "ok"), (1.06, "missed")]
)
def test_a_slope_may_neither_rise_nor_fall(power: float, verdict: str) -> None:
    figure = slope({size: [size ** (power - 1)] * 3 for size in (FEW, *DOUBLINGS)}, "")
    assert figure.ratio == pytest.approx(power)
    assert verdict in report.table([vars(figure)]).splitlines()[2].split("|")[7]


def test_smaller_may_be_better() -> None:
    assert judged("P0", [1, 2, 3], must=2, stretch=1, unit="s", whole=True, at_most=True).ok
    assert not judged("P0", [2, 3, 4], must=2, stretch=1, unit="s", whole=True, at_most=True).ok
    assert judged("P0", [2, 3, 4], must=2, stretch=1, unit="x", whole=True).ok


@pytest.mark.parametrize("carried", [300, 700, 1_500, 3_000, 6_000, 9_000])
def test_the_search_ends_at_a_fleet_that_leaves_a_third_idle_and_little_more(
    carried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def idle(devices: int) -> float:  # a message costs less where there are more of them
        return max(0.0, 1 - 0.08 - 0.62 * (devices / carried) ** 0.8)

    def run(_platform: Platform, devices: int, seconds: float) -> Run:
        kept_up = idle(devices) > 0
        return Run(devices, seconds, 0.5, idle(devices), np.zeros(1), 0.0 if kept_up else 9.0, 0.0, "")

    monkeypatch.setattr(p6_latency, "run_fleet", run)
    found = p6_latency.busiest_fleet(cast("Platform", None))
    assert p6_latency.IDLE_WANTED <= idle(found) < p6_latency.IDLE_WANTED + 0.1


@pytest.mark.parametrize("seconds", [4.0, 10.0, 60.0])
def test_no_size_of_a_fleet_is_judged_by_a_shorter_run(seconds: float) -> None:
    logs = shapes(max(10, int(seconds * 4) // 10 * 10))
    least = next(log.devices * log.blocks for log in logs if log.devices == MANY)
    assert [log.devices for log in logs] == list(SIZES)
    assert all(log.devices * log.blocks >= least and log.blocks % 10 == 0 for log in logs)
