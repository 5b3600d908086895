"""Thresholds of devices: where they come from, which tables are refused, and the same bits in stream and batch."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.errors import ModelRefused
from wearables_platform.models.threshold_training import Minimum, device_baselines
from wearables_platform.models.thresholds import (
    DEFAULTS,
    DEVICE_THRESHOLDS,
    NO_THRESHOLDS,
    ThresholdTable,
    ThresholdTimeline,
    load_thresholds,
    write_table,
)
from wearables_platform.models.training_set import Wear
from wearables_platform.signals.device_rules import DeviceRules, final_findings
from wearables_platform.signals.rule_kinds import HIGH_HEART_RATE_AT_REST, KIND_NUMBER
from wearables_platform.signals.windows import FEATURE_VERSION, compute_all
from wearables_platform.wire.feature_schema import WINDOWS_DATASET, window_table
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.model_windows import device_ids, draw_windows
from wearables_platform_tests.rule_rows import START_US as RULES_START_US
from wearables_platform_tests.rule_rows import readings, rows
from wearables_platform_tests.stream_logs import START_US, NoModel, Record, batch_samples, event_bits, run_stream

S_US = 1_000_000
HOUR = np.arange(3600)


def release(data: bytes, version: str = "v1", effective_from_us: int = START_US) -> pb.ModelRelease:
    return pb.ModelRelease(
        name=DEVICE_THRESHOLDS,
        version=version,
        sha256=hashlib.sha256(data).hexdigest(),
        lake_path="x",
        feature_version=FEATURE_VERSION,
        effective_from_us=effective_from_us,
    )


def table(devices: dict[str, tuple[float, ...]], version: str, from_us: int) -> ThresholdTable:
    data = write_table(DEVICE_THRESHOLDS, version, devices)
    return load_thresholds(release(data, version, from_us), lambda _: data)


@cache
def pushes() -> tuple[Record, ...]:
    """Two watches, a push of 2.8 to 3.8 g every two seconds of a minute but its last, in messages of half a second."""
    random = np.random.default_rng(7)
    count = 60 * 50
    records = []
    for device_id in ("watch-1", "watch-2"):
        accel_g = random.normal(0, 0.01, (count, 3)) + (0, 0, 1)
        pulse = np.sin(np.pi * (np.arange(5) + 0.5) / 5)
        for at in range(60, count - 400, 100):
            accel_g[at : at + 5, 2] += random.uniform(2.8, 3.8) * pulse
        for i in range(count // 25):
            wall_us = START_US + i * S_US // 2
            payload = pb.AccelerationBatch(
                device_id=device_id,
                boot_id=5,
                sequence=i,
                start_time_us=wall_us,
                start_monotonic_us=wall_us - START_US,
                rate_hz=50.0,
                encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
                samples=accel_g[25 * i : 25 * i + 25].astype("<f4").tobytes(),
            )
            records.append(Record(wall_us + S_US // 2, device_id, payload.SerializeToString(deterministic=True)))
    return tuple(sorted(records, key=lambda record: record.at_us))


class Adjusted(NoModel):
    """No model, but thresholds."""

    def __init__(self, thresholds: ThresholdTimeline) -> None:
        self.thresholds = thresholds


def in_the_middle() -> ThresholdTimeline:
    """The defaults, then 3.3 g for one watch from a half minute on, then the defaults again."""
    own = {"watch-1": (3.3, float("nan"), float("nan"))}
    again = load_thresholds(pb.ModelRelease(name=DEVICE_THRESHOLDS, effective_from_us=START_US + 50 * S_US), bytes)
    return ThresholdTimeline().with_release(table(own, "v1", START_US + 30 * S_US)).with_release(again)


@pytest.mark.parametrize("cuts", [[], list(range(0, 240, 7))])
def test_stream_and_batch_find_the_same_events_whatever_the_cuts(cuts: list[int]) -> None:
    records, timeline = list(pushes()), in_the_middle()
    stream, _ = run_stream(records, cuts, scoring=Adjusted(timeline), resume_at={3, 9})
    samples, ids = batch_samples(records)
    _, events = compute_all(samples, limits=timeline.limits(ids))
    assert stream.events == event_bits(ids, events)
    _, usual = compute_all(samples)
    fewer = event_bits(ids, usual) - stream.events
    assert fewer
    assert {device_id for device_id, *_ in fewer} == {"watch-1"}
    assert all(START_US + 30 * S_US <= start_us < START_US + 50 * S_US for _, start_us, *_ in fewer)


def test_rows_name_the_version_in_force_at_their_window() -> None:
    starts = START_US + np.array([0, 30, 49, 50]) * S_US + 999_999
    assert in_the_middle().versions(starts) == [None, "v1", "v1", None]


def test_a_high_heart_rate_at_rest_is_the_wearers_own_in_stream_and_batch() -> None:
    heart = readings(HOUR[::5], 97.0)
    still = rows(HOUR, enmo_mg=5.0)
    assert not len(high_at_rest(final_findings(still, heart, 1).events))
    own = ThresholdTimeline().with_release(table({"a": (2.5, 20.0, 95.0)}, "v1", RULES_START_US))
    whole = high_at_rest(final_findings(still, heart, 1, own.limits(["a"])).events)
    assert len(whole) == 1
    live = DeviceRules()
    live.grow(1)
    live.minutes.limits = own.limits(["a"])
    said = [live.step(still.take(HOUR[at : at + 600]), heart.take(slice(at // 5, at // 5 + 120))) for at in HOUR[::600]]
    begun = high_at_rest(np.concatenate([found.events for found in said]))
    assert begun[-1]["start_us"] == whole[0]["start_us"]
    assert begun[-1]["value"] == whole[0]["value"]


def high_at_rest(events: Any) -> Any:
    return events[events["kind"] == KIND_NUMBER[HIGH_HEART_RATE_AT_REST.name]]


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ({"a": (1.0, 20.0, 100.0)}, "unsafe_thresholds"),
        ({"a": (2.5, 200.0, 100.0)}, "unsafe_thresholds"),
        ({"a": (2.5, 20.0, 140.0)}, "unsafe_thresholds"),
        ({"a": (2.5, 20.0)}, "foreign_schema"),
    ],
)
def test_a_table_outside_the_safe_limits_is_refused(devices: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelRefused, match=f"^{reason}"):
        table(devices, "v1", START_US)


@pytest.mark.parametrize(
    ("data", "changes", "reason"),
    [
        (b"not a table", {}, "corrupt"),
        (b"[]", {}, "foreign_schema"),
        (write_table(DEVICE_THRESHOLDS, "v2", {}), {}, "foreign_schema"),
        (write_table(DEVICE_THRESHOLDS, "v1", {}), {"sha256": "0" * 64}, "wrong_sha256"),
        (write_table(DEVICE_THRESHOLDS, "v1", {}), {"feature_version": "0"}, "foreign_features"),
    ],
)
def test_a_table_that_is_not_the_published_one_is_refused(data: bytes, changes: dict[str, str], reason: str) -> None:
    published = release(data)
    for name, value in changes.items():
        setattr(published, name, value)
    with pytest.raises(ModelRefused, match=f"^{reason}"):
        load_thresholds(published, lambda _: data)


def test_without_a_table_nothing_is_asked_of_anybody() -> None:
    assert NO_THRESHOLDS.limits(["a"]) is None
    assert NO_THRESHOLDS.versions(np.array([START_US])) == [None]
    assert table({}, "v1", 0).values(["a", "b"]).tolist() == [list(DEFAULTS)] * 2


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A day of two watches: one whose wearer moves violently, one that lies still with a noisy sensor."""
    found = open_lake(tmp_path.as_uri())
    drawn = draw_windows(3, people=2, per_person=2_000)
    still = drawn.device == 1
    drawn.features["enmo_mg"] = np.where(still, 12.0, 300.0)
    drawn.features["mad_mg"] = np.where(still, 3.0, 200.0)
    drawn.features["vm_max_g"] = np.where(still, 1.0, 2.0 + 0.2 * np.sin(np.arange(len(drawn))))
    edition = found.edition(WINDOWS_DATASET, "2025-03-30")
    columns = ("window_start", "window_start")
    found.publish(edition, [window_table(drawn, device_ids(2))], time_columns=columns, versions={"features": "2"})
    return found


WEARS = [Wear("watch-00", "person-00", 0, 2**62), Wear("watch-01", "person-01", 0, 2**62)]


def test_thresholds_follow_what_a_device_measures_on_its_wearer(lake: Lake) -> None:
    found = device_baselines(lake, ["2025-03-30"], WEARS, Minimum(moving_windows=1_000, still_windows=500))
    violent, noisy = found.devices["watch-00"], found.devices["watch-01"]
    assert 2.5 < violent[0] <= 3.3
    assert np.isnan(violent[1:]).all()  # it never lay still, and sent no heart rate
    assert np.isnan(noisy[0])
    assert noisy[1] == pytest.approx(27.25)  # 12 mg of noise, in a bin of half a mg, and 15
    assert found.people == ("person-00", "person-01")


def test_too_few_data_leave_the_default(lake: Lake) -> None:
    assert device_baselines(lake, ["2025-03-30"], WEARS).devices.keys() == {"watch-00", "watch-01"}
    assert not device_baselines(lake, ["2025-03-30"], WEARS, Minimum(5_000, 5_000, 5_000)).devices


def test_what_a_former_wearer_did_counts_for_nobody(lake: Lake) -> None:
    new = Wear("watch-00", "person-09", 2**60, 2**62)
    found = device_baselines(lake, ["2025-03-30"], [*WEARS, new], Minimum(1_000, 500, 500))
    assert "watch-00" not in found.devices
    assert found.people == ("person-01",)
