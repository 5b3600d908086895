"""Segments, unusual periods and whose they are; each timeline is drawn in its test."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray

from wearables_platform.models.inputs import MODEL_FEATURES
from wearables_platform.models.predict import load_scorer
from wearables_platform.models.releases import release_of
from wearables_platform.models.segments import join_segments
from wearables_platform.models.train import train
from wearables_platform.models.unusual import Baseline, Baselines, join_alarms, reasons
from wearables_platform.models.worn import NOBODY, WornDay, place_windows
from wearables_platform.signals.windows import WINDOW_US
from wearables_platform_tests.model_windows import draw_training_set

ACTIVITY = {".": -1, "w": 0, "s": 1}


def joined(drawn: str) -> list[tuple[str, int, int, int]]:
    """Activity, first second, end and windows of each segment of a timeline; a dot is a second without a window."""
    seconds = np.array([at for at, mark in enumerate(drawn) if mark != "."])
    keys = np.array([[0, ACTIVITY[drawn[at]]] for at in seconds], dtype=np.int64).reshape(-1, 2)
    found = join_segments(keys, seconds * WINDOW_US, np.full(len(seconds), 0.5))
    return [
        (drawn[seconds[first]], int(seconds[first]), int(end // WINDOW_US), int(windows))
        for first, end, windows in zip(found.first, found.end_us, found.windows, strict=True)
    ]


@pytest.mark.parametrize(
    ("drawn", "segments"),
    [
        ("wwwwwsssss", [("w", 0, 5, 5), ("s", 5, 10, 5)]),
        ("wwwwsssss", [("s", 4, 9, 5)]),  # four seconds are too few
        ("wwwwwsswwwww", [("w", 0, 12, 10)]),  # two seconds of something else are part of it
        ("wwwww..wwwww", [("w", 0, 12, 10)]),  # and so are two of nothing
        ("wwwww......wwwww", [("w", 0, 5, 5), ("w", 11, 16, 5)]),
        ("", []),
    ],
)
def test_windows_of_one_activity_are_joined(drawn: str, segments: list[tuple[str, int, int, int]]) -> None:
    assert joined(drawn) == segments


def test_confidence_is_the_mean_over_the_windows_of_a_segment() -> None:
    keys = np.zeros((6, 1), dtype=np.int64)
    confidence = np.array([0.4, 0.6, 0.8, 1.0, 0.5, 0.7])
    found = join_segments(keys, np.arange(6) * WINDOW_US, confidence)
    assert found.confidence.tolist() == pytest.approx([confidence.mean()])


def test_alarms_close_together_are_one_period() -> None:
    keys = np.array([[0], [0], [0], [1]])
    starts = np.array([0, 3, 7, 7]) * WINDOW_US
    assert [rows.tolist() for rows in join_alarms(keys, starts)] == [[0, 1], [2], [3]]


def test_a_window_belongs_to_who_wore_the_device_at_its_start_and_to_that_persons_day() -> None:
    """Person a until second 3, b from 4 on; b's day ends at 6."""
    first, second = date(2026, 3, 28), date(2026, 3, 29)
    worn = [
        WornDay("w", "b", second, 6 * WINDOW_US, 9 * WINDOW_US),
        WornDay("w", "a", first, 0, 3 * WINDOW_US),
        WornDay("w", "b", first, 4 * WINDOW_US, 6 * WINDOW_US),
        WornDay("v", "c", first, 0, 9 * WINDOW_US),
    ]
    starts = np.array([0, 2, 3, 4, 5, 6, 9, 1]) * WINDOW_US
    place = place_windows(np.array(["w"] * 7 + ["x"]), starts, worn)
    assert place.tolist() == [1, 1, NOBODY, 2, 2, 0, NOBODY, NOBODY]


def matrix_of(**columns: list[float]) -> NDArray[np.float32]:
    count = len(next(iter(columns.values())))
    matrix = np.zeros((count, len(MODEL_FEATURES)), dtype=np.float32)
    for name, values in columns.items():
        matrix[:, MODEL_FEATURES.index(name)] = values
    return matrix


def test_reasons_are_the_furthest_features_with_sign_and_size() -> None:
    usual = matrix_of(enmo_mg=[9, 10, 11, 10, 9, 11], vm_std_g=[0.4, 0.5, 0.6, 0.5, 0.4, 0.6], steps=[0, 0, 0, 0, 0, 3])
    baseline = Baseline.of("own", usual, np.linspace(0.3, 0.5, 6))
    row = matrix_of(enmo_mg=[50], vm_std_g=[0.1], steps=[0])[0].astype(np.float64)
    found = reasons(row, baseline)
    assert [one.feature for one in found] == ["enmo_mg", "vm_std_g"]  # steps are as usual, the rest never changes
    assert found[0].robust_z == pytest.approx((50 - 10) / 1.4826, rel=1e-6)
    assert found[1].robust_z == pytest.approx((0.1 - 0.5) / 0.14826, rel=1e-5)
    assert (found[0].value, found[0].median) == (50.0, 10.0)
    assert baseline.share_below(0.45) == pytest.approx(4 / 6)


def test_a_count_that_is_mostly_zero_is_measured_by_its_mean_deviation() -> None:
    baseline = Baseline.of("own", matrix_of(steps=[0] * 9 + [10]), np.zeros(10))
    row = matrix_of(steps=[4])[0].astype(np.float64)
    assert reasons(row, baseline)[0].robust_z == pytest.approx(4 / (1.2533 * 1.0))


def test_a_number_that_does_not_exist_is_no_reason() -> None:
    baseline = Baseline.of("own", matrix_of(dominant_hz=[1, 2, 3, 4]), np.zeros(4))
    row = np.full(len(MODEL_FEATURES), np.nan)
    assert reasons(row, baseline) == []


def test_who_gave_too_few_windows_is_held_against_everyone() -> None:
    windows = draw_training_set(1, people=4, per_person=350)
    few = windows.take((windows.person != windows.people[0]) | (np.arange(len(windows)) % 2 == 0))
    candidate = train(windows)
    scorer = load_scorer(release_of(candidate, 0), lambda _path: candidate.artifact)
    baselines = Baselines(scorer, few)
    everyone, own = baselines.of(windows.people[0]), baselines.of(windows.people[1])
    assert everyone is not None
    assert own is not None
    assert (everyone.kind, len(everyone.scores)) == ("everyone", len(few))
    assert (own.kind, len(own.scores)) == ("own", 350)
    assert Baselines(scorer, few.take(np.zeros(len(few), bool))).of("nobody") is None
