"""Who is learnt from, who judges, and what a training set is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.clients.lake import open_lake
from wearables_platform.errors import ModelRefused, StoreRefused
from wearables_platform.models import training_files
from wearables_platform.models.train import train
from wearables_platform.models.training_set import MAX_WINDOWS_PER_PERSON, TrainingSet, Wear, assemble, held_out_people
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.windows import FEATURE_VERSION
from wearables_platform_tests.model_windows import (
    DAY_US,
    EVENT_EVERY,
    device_ids,
    draw_training_set,
    draw_windows,
    person_of,
    spike_starts,
    worn_by_one_each,
)

NAMES = st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True), min_size=2, max_size=60, unique=True)


@given(people=NAMES)
def test_some_are_held_out_and_some_are_learnt_from(people: list[str]) -> None:
    held_out = held_out_people(people)
    assert held_out < set(people)
    assert len(held_out) >= min(2, len(people) // 2)


@given(people=NAMES, seed=st.randoms())
def test_who_is_held_out_does_not_depend_on_the_order(people: list[str], seed: object) -> None:
    assert held_out_people(sorted(people)) == held_out_people(sorted(people, reverse=True) * 2)


def test_most_people_keep_their_side_when_others_join() -> None:
    some = [f"person-{number}" for number in range(100)]
    more = [f"person-{number}" for number in range(400)]
    assert held_out_people(some) == held_out_people(more) & set(some)
    assert 70 <= len(held_out_people(more)) <= 130


def test_nobody_is_held_out_where_there_is_one_person_only() -> None:
    assert held_out_people(["alone"]) == set()


def test_windows_of_strangers_are_left_out() -> None:
    rows = draw_windows(1, people=3)
    known = worn_by_one_each(2)
    assert assemble(rows, device_ids(3), known, {}, FEATURE_VERSION).people == [wear.participant_id for wear in known]


def test_a_window_belongs_to_who_wore_the_watch_at_its_start() -> None:
    rows = draw_windows(1, people=1, per_person=10)
    handover = DAY_US + 4_000_000
    wears = [Wear("watch-00", "first", 0, handover), Wear("watch-00", "second", handover, 2**62)]
    windows = assemble(rows, device_ids(1), wears, {}, FEATURE_VERSION)
    assert windows.person.tolist() == ["first"] * 4 + ["second"] * 6


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("coverage", 0.89),
        ("vm_mean_g", np.nan),
        ("flags", int(QualityFlag.CLOCK_STEP)),
        ("flags", int(QualityFlag.GAP)),
    ],
)
def test_windows_something_is_wrong_with_teach_nothing(column: str, value: float) -> None:
    rows = draw_windows(1, people=1, per_person=10)
    rows.features[column][3] = value
    kept = assemble(rows, device_ids(1), worn_by_one_each(1), {}, FEATURE_VERSION)
    assert (kept.start_us - DAY_US).tolist() == [second * 1_000_000 for second in range(10) if second != 3]


def test_a_glitch_or_clipping_is_part_of_life() -> None:
    rows = draw_windows(1, people=1, per_person=10)
    rows.features["flags"][3] = int(QualityFlag.GLITCH | QualityFlag.CLIPPED)
    assert len(assemble(rows, device_ids(1), worn_by_one_each(1), {}, FEATURE_VERSION)) == 10


def test_events_are_the_rules_own() -> None:
    windows = draw_training_set(1, people=4)
    assert windows.is_event.sum() == 4 * 200 / EVENT_EVERY


def test_no_person_outweighs_the_others() -> None:
    rows = draw_windows(1, people=2, per_person=MAX_WINDOWS_PER_PERSON + 500)
    kept = assemble(rows, device_ids(2), worn_by_one_each(2), {}, FEATURE_VERSION)
    people, counts = np.unique(kept.person, return_counts=True)
    assert dict(zip(people.tolist(), counts.tolist(), strict=True)) == {
        person_of(device): MAX_WINDOWS_PER_PERSON for device in device_ids(2)
    }
    assert len(set(zip(kept.person.tolist(), kept.start_us.tolist(), strict=True))) == len(kept)


@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(seed: int) -> None:
    rows = draw_windows(1, people=4, per_person=60)
    shuffled = rows.take(np.random.default_rng(seed).permutation(len(rows)))
    there = (device_ids(4), worn_by_one_each(4), spike_starts(rows), FEATURE_VERSION)
    assert assemble(shuffled, *there).sha256 == assemble(rows, *there).sha256


@pytest.mark.parametrize("field", ["matrix", "start_us", "is_event", "held_out", "person", "device_id"])
def test_the_digest_covers_every_column(field: str) -> None:
    windows = draw_training_set(1)
    changed = getattr(windows, field).copy()
    changed[5] = "someone" if changed.dtype.kind == "U" else changed[5] == 0
    assert replace(windows, **{field: changed}).sha256 != windows.sha256


def test_the_digest_covers_the_feature_version() -> None:
    windows = draw_training_set(1)
    assert replace(windows, feature_version="other").sha256 != windows.sha256


def test_a_set_survives_the_lake(lake_url: str) -> None:
    lake, windows = open_lake(lake_url), draw_training_set(1)
    stored = training_files.store(lake, "test_survives", windows)
    again = training_files.load_current(lake, "test_survives")
    assert again.path == stored.path
    assert np.array_equal(again.training_set.matrix, windows.matrix, equal_nan=True)
    assert again.training_set.sha256 == windows.sha256


def test_a_set_with_other_content_than_its_name_says_is_refused(lake_url: str) -> None:
    lake = open_lake(lake_url)
    one, other = draw_training_set(1), draw_training_set(2)
    path = training_files.store(lake, "test_swapped", one).path
    lake.put(path, lake.get(training_files.store(lake, "test_swapped", other).path))
    with pytest.raises(StoreRefused, match="holds a training set with digest"):
        training_files.load(lake, "test_swapped", one.sha256)


def test_too_little_data_is_refused_by_name() -> None:
    with pytest.raises(ModelRefused, match="^too_little_data: 100 clean windows, 256 needed"):
        train(draw_training_set(1, people=2, per_person=100))


def test_held_out_people_change_nothing_in_the_forest() -> None:
    from wearables_platform.models.artifacts import read_artifact

    windows = draw_training_set(1)
    matrix = np.where(windows.held_out[:, None], windows.matrix * 3, windows.matrix)
    one, other = train(windows), train(replace(windows, matrix=matrix))
    first, second = (read_artifact(made.artifact, made.sha256)[1] for made in (one, other))
    probe = TrainingSet.from_table(windows.to_table()).matrix
    assert np.array_equal(first.score_samples(np.nan_to_num(probe)), second.score_samples(np.nan_to_num(probe)))
    assert one.description.alarm_threshold == other.description.alarm_threshold
