"""A day is the same whatever is in memory at once: bucket by bucket, span by span, or whole."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from wearables_platform.batch.day_messages import DayMessages
from wearables_platform.batch.rules import RULE_DATASETS, build_rules
from wearables_platform.batch.windows import build_features
from wearables_platform.clients.lake import Lake
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.partitions import day_bounds_us, neighbours
from wearables_platform.signals.windows import compute_all
from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET, event_table, window_table
from wearables_platform.wire.raw_messages import raw_dataset, sorted_messages
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform_tests.day_memory import built_in_child
from wearables_platform_tests.days_rig import SECOND_US, lake_of_days, motion, objects_of, three_days
from wearables_platform_tests.lake_rig import DAY, DAY_US


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return three_days()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, documents: list[dict[str, Any]]) -> Lake:
    """A lake whose day was computed in one pass."""
    lake = lake_of_days(tmp_path_factory.mktemp("whole"), documents, pytest.MonkeyPatch())
    build_features(lake, DAY)
    build_rules(lake, DAY)
    return lake


def whole_day(lake: Lake) -> tuple[pa.Table, pa.Table]:
    """A day's windows and events from all messages of three days at once."""
    found = lake.read_table(raw_dataset(ACCELERATION), neighbours([DAY]))
    assert found is not None
    sampled = samples_from_messages(sorted_messages([found]).to_batches()[0])
    rows, events = compute_all(sampled.samples)
    tables = window_table(rows, sampled.device_ids), event_table(events, sampled.device_ids)
    return of_the_day(tables[0], "window_start"), of_the_day(tables[1], "started_at")


def of_the_day(table: pa.Table, column: str) -> pa.Table:
    start_us = table.column(column).cast(pa.int64())
    first_us, end_us = day_bounds_us(DAY)
    return table.filter(pc.and_(pc.greater_equal(start_us, first_us), pc.less(start_us, end_us)))


def test_windows_and_spikes_are_those_of_all_messages_at_once(
    tmp_path: Path, documents: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_of_days(tmp_path, documents, monkeypatch)
    windows, spikes = whole_day(lake)
    build_features(lake, DAY, samples_at_once=1_000)
    assert windows.num_rows > 700
    assert spikes.num_rows > 20
    assert lake.read_table(WINDOWS_DATASET, [DAY]) == windows
    assert lake.read_table(SPIKES_DATASET, [DAY]) == spikes
    assert pc.any(pc.not_equal(pc.bit_wise_and(windows.column("flags"), 0xFFFF), 0)).as_py()


@pytest.mark.parametrize(("buckets", "at_once"), [(1, 20_000), (8, 500), (8, 10**9)])
def test_every_object_of_the_lake_is_equal_however_the_day_is_cut(
    tmp_path: Path,
    whole: Lake,
    documents: Sequence[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    buckets: int,
    at_once: int,
) -> None:
    cut = lake_of_days(tmp_path / "cut", documents, monkeypatch, buckets, group_bytes=25_000)
    build_features(Lake(cut.objects), DAY, samples_at_once=at_once)
    build_rules(Lake(cut.objects), DAY, rows_at_once=at_once // 10)
    assert objects_of(tmp_path / "cut", "features") == objects_of(
        Path(whole.address("").removeprefix("file://")), "features"
    )
    for dataset in (*RULE_DATASETS, WINDOWS_DATASET, SPIKES_DATASET):
        manifest = whole.manifest(dataset, DAY)
        assert manifest is not None
        assert manifest.rows, dataset


def test_the_hour_before_a_day_may_be_built_or_not(
    tmp_path: Path, documents: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for built_before in (True, False):
        lake = lake_of_days(tmp_path / str(built_before), documents, monkeypatch, 4)
        if built_before:
            build_features(lake, neighbours([DAY])[0])
        build_features(lake, DAY)
        build_rules(lake, DAY, rows_at_once=100)
        found.append([lake.read_table(dataset, [DAY]) for dataset in RULE_DATASETS])
    assert found[0] == found[1]


def test_portions_hold_every_device_once_and_a_large_one_by_spans(
    tmp_path: Path, documents: Sequence[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_of_days(tmp_path, documents, monkeypatch, 4)
    messages = DayMessages(lake, ACCELERATION, DAY)
    (one,) = messages.portions()
    assert len(one.spans_us) == 1
    many = list(messages.portions(2_000))
    assert sorted(device for portion in many for device in portion.device_ids) == sorted(one.device_ids)
    assert max(len(portion.spans_us) for portion in many) > 5
    assert all(portion.spans_us[0][0] == day_bounds_us(DAY)[0] for portion in many)
    assert all(portion.spans_us[-1][1] == day_bounds_us(DAY)[1] for portion in many)


def test_of_the_days_around_only_the_row_groups_at_midnight_give_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list(motion("watch-1", DAY_US - 1_000 * SECOND_US, 1_100))
    lake = lake_of_days(tmp_path, made, monkeypatch, group_bytes=7_000)
    messages = DayMessages(lake, ACCELERATION, DAY)
    groups = list(
        messages.read(["device_id", "start_time_us"], ["watch-1"], (DAY_US - 5 * SECOND_US, DAY_US + 10 * SECOND_US))
    )
    assert 0 < sum(group.num_rows for group in groups) < 40
    assert sum(group.num_rows for group in messages.read(["device_id", "start_time_us"], ["watch-1"])) == 1_100


def test_a_day_four_times_as_large_is_computed_in_no_more_memory(tmp_path: Path) -> None:
    # 192 kB of samples a second, 12 MB and 46 MB, reduced as they are read; half a minute is computed at once.
    with ThreadPoolExecutor(2) as pool:  # each in processes of its own
        children = [
            pool.submit(built_in_child, tmp_path / str(seconds), 1, seconds, rate_hz=16_000.0) for seconds in (60, 240)
        ]
        small, large = (child.result() for child in children)
    assert (small.windows, large.windows) == (60, 240)
    assert large.peak_kb < 1.2 * small.peak_kb
