"""Any span of any recording in so many points, reading little of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wearables_platform.batch.messages import export_days
from wearables_platform.batch.waveform import Waveform, waveform
from wearables_platform.batch.zoom import build_zoom, faults_of_levels
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.codec import encode_samples_float32
from wearables_platform.wire.lake_schemas import ZOOM_DATASET
from wearables_platform_tests.lake_rig import DAY, DAY_US, ListedArchive, document

SECOND_US = 1_000_000


class CountedFiles(FileObjects):
    """Files that count the bytes read of each dataset."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.read: Counter[str] = Counter()

    def get(self, key: str) -> tuple[bytes, str] | None:
        found = super().get(key)
        self.read[key.partition("/")[0]] += len(found[0]) if found else 0
        return found

    def get_range(self, key: str, first: int, size: int) -> bytes:
        self.read[key.partition("/")[0]] += size
        return super().get_range(key, first, size)


def recording(seconds: int, rate_hz: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(0, 0.2, (round(seconds * rate_hz), 3)).astype(np.float32) + np.float32([0, 0, 1])


def messages(device_id: str, accel_g: np.ndarray, rate_hz: float, every_us: int = 100_000) -> list[dict[str, Any]]:
    """The recording in messages of `every_us`, from the day's begin."""
    each = round(rate_hz * every_us / 1e6)
    return [
        document(
            device_id,
            number,
            samples=encode_samples_float32(accel_g[at : at + each]),
            rate_hz=rate_hz,
            every_us=every_us,
        )
        for number, at in enumerate(range(0, len(accel_g), each))
    ]


def lake_of(tmp_path: Path, made: list[dict[str, Any]], *, zoom: bool = True, **options: Any) -> Lake:
    lake = Lake(CountedFiles(tmp_path), **options)
    export_days(ListedArchive(made), lake, ACCELERATION, [DAY])
    if zoom:
        build_zoom(lake, DAY)
    return lake


def same(one: Waveform, other: Waveform) -> bool:
    names = ("start_us", "n", "low_g", "mean_g", "high_g")
    return one.width_us == other.width_us and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def test_a_minute_at_16_khz_is_drawn_from_a_few_hundredths_of_its_bytes(tmp_path: Path) -> None:
    accel_g = recording(20, 16_000.0)
    lake = lake_of(tmp_path, messages("fast", accel_g, 16_000.0))
    objects = lake.objects
    assert isinstance(objects, CountedFiles)
    objects.read.clear()
    drawn = waveform(lake, "fast", DAY_US, DAY_US + 20 * SECOND_US, 200)
    assert (len(drawn), drawn.width_us, drawn.level_us) == (200, 100_000, 100_000)
    assert objects.read.total() < accel_g.nbytes / 50
    assert objects.read["raw"] == 0
    cut = accel_g.reshape(200, -1, 3)
    assert np.array_equal(drawn.low_g, cut.min(axis=1))
    assert np.array_equal(drawn.high_g, cut.max(axis=1))
    assert np.allclose(drawn.mean_g, cut.mean(axis=1, dtype=np.float64), atol=1e-6)


def test_a_close_look_reads_the_row_groups_it_shows_and_gives_the_samples_themselves(tmp_path: Path) -> None:
    accel_g = recording(10, 16_000.0)
    lake = lake_of(tmp_path, messages("fast", accel_g, 16_000.0), group_bytes=200_000)
    objects = lake.objects
    assert isinstance(objects, CountedFiles)
    objects.read.clear()
    drawn = waveform(lake, "fast", DAY_US + 5 * SECOND_US, DAY_US + 5 * SECOND_US + 62_500, 2_000)
    assert drawn.width_us == 0
    assert np.array_equal(drawn.mean_g, accel_g[80_000:81_000])
    assert objects.read.total() < accel_g.nbytes / 2


@pytest.mark.parametrize("max_points", [1, 7, 40, 300])
def test_levels_and_samples_give_the_same_points(tmp_path: Path, max_points: int) -> None:
    made = messages("slow", recording(90, 100.0, 1), 100.0, SECOND_US) + messages(
        "fast", recording(4, 8_000.0, 2), 8_000.0
    )
    with_levels = lake_of(tmp_path / "with", made, group_bytes=20_000)
    without = lake_of(tmp_path / "without", made, zoom=False)
    for device_id in ("slow", "fast", "absent"):
        for span in ((0, 90), (3, 3.5), (1.2345, 77), (60, 61), (-100, 4_000)):
            first_us, end_us = (DAY_US + round(at * SECOND_US) for at in span)
            one, other = (waveform(lake, device_id, first_us, end_us, max_points) for lake in (with_levels, without))
            assert same(one, other), (device_id, span)
            assert len(one) <= max_points


def test_a_late_message_shows_even_before_the_levels_are_made_anew(tmp_path: Path) -> None:
    made = messages("slow", recording(60, 100.0), 100.0, SECOND_US)
    lake = lake_of(tmp_path, made[:-1])
    export_days(ListedArchive(made), lake, ACCELERATION, [DAY])
    late = waveform(lake, "slow", DAY_US, DAY_US + 60 * SECOND_US, 30)
    assert (late.n.sum(), late.level_us) == (6_000, 0)
    build_zoom(lake, DAY)
    rebuilt = waveform(lake, "slow", DAY_US, DAY_US + 60 * SECOND_US, 30)
    assert rebuilt.level_us == SECOND_US
    assert same(late, rebuilt)


def test_levels_built_again_are_the_same_bytes_and_row_groups_do_not_matter(tmp_path: Path) -> None:
    made = messages("slow", recording(70, 100.0), 100.0, SECOND_US)
    lake = lake_of(tmp_path / "one", made)
    first = lake.manifest("zoom/acceleration", DAY)
    assert build_zoom(lake, DAY) == first
    small = Lake(FileObjects(tmp_path / "two"), group_bytes=3_000)
    export_days(ListedArchive(made), small, ACCELERATION, [DAY])
    build_zoom(small, DAY)
    assert small.read_table("zoom/acceleration", [DAY]) == lake.read_table("zoom/acceleration", [DAY])
    assert build_zoom(lake, "2026-03-30") is None


def test_levels_that_are_old_or_do_not_add_up_are_named(tmp_path: Path) -> None:
    made = messages("slow", recording(70, 100.0), 100.0, SECOND_US) + messages("fast", recording(2, 8_000.0), 8_000.0)
    lake = lake_of(tmp_path, made)
    assert faults_of_levels(lake, DAY) == (7_000 + 16_000, [])
    assert faults_of_levels(lake, "2026-03-30") == (0, [])
    edition = lake.edition(ZOOM_DATASET, DAY)
    assert edition.manifest is not None
    tables = {file.width_us: lake.read_file(file) for file in edition.manifest.files}
    with lake.writer(edition) as writer:
        for width_us, table in tables.items():
            writer.begin_file(width_us=width_us)
            writer.write(table.slice(1) if width_us == SECOND_US else table)  # "fast" comes first
        writer.publish(edition.manifest.cut, edition.manifest.versions)
    assert faults_of_levels(lake, DAY)[1] == [f"{DAY}: fast has another number of samples at 1000000 us"]
    export_days(ListedArchive(made[:-1]), lake, ACCELERATION, [DAY])
    assert faults_of_levels(lake, DAY)[1] == [f"{DAY}: the levels are not those of the raw partition"]


@pytest.mark.parametrize(("span", "points"), [((5, 5), 10), ((5, 4), 10), ((0, 1), 0), ((0, 1), 100_001)])
def test_a_question_without_sense_is_refused(tmp_path: Path, span: tuple[int, int], points: int) -> None:
    with pytest.raises(ValueError, match="points"):
        waveform(Lake(FileObjects(tmp_path)), "watch", *span, points)
