"""A window's score depends on the window alone, and is scikit-learn's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.models.inputs import MODEL_FEATURES, feature_matrix, imputed
from wearables_platform.models.predict import ModelTimeline, Scorer, load_scorer
from wearables_platform.models.releases import release_of
from wearables_platform.models.train import Fitted, ForestParams, fit, train
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.model_windows import DAY_US, draw_training_set, draw_windows

ROWS = draw_windows(seed=5, people=6, per_person=400)


@cache
def fitted() -> Fitted:
    return fit(draw_training_set(1).matrix, ForestParams())


@cache
def scorer(seed: int = 1) -> Scorer:
    candidate = train(draw_training_set(seed))
    return load_scorer(release_of(candidate, 0), lambda _path: candidate.artifact)


def in_force_from(scorer: Scorer, effective_from_us: int) -> Scorer:
    release = ModelRelease()
    release.CopyFrom(scorer.release)
    release.effective_from_us = effective_from_us
    return replace(scorer, release=release)


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 3_000))
def test_scores_are_scikit_learns_bit_for_bit(seed: int, rows: int) -> None:
    matrix = np.random.default_rng(seed).normal(0.5, 2.0, (rows, len(MODEL_FEATURES))).astype(np.float32)
    assert np.array_equal(fitted().score(matrix), -fitted().forest.score_samples(matrix))


@given(seed=st.integers(0, 2**32 - 1), share_missing=st.floats(0, 1))
def test_a_missing_number_scores_as_the_training_median(seed: int, share_missing: float) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0.5, 2.0, (40, len(MODEL_FEATURES))).astype(np.float32)
    matrix[rng.random(matrix.shape) < share_missing] = np.nan
    filled = imputed(matrix, fitted().stand_in)
    assert np.array_equal(fitted().score(matrix), -fitted().forest.score_samples(filled))


@given(cuts=st.lists(st.integers(0, len(ROWS)), max_size=40))
def test_any_batch_gives_a_window_the_same_bits(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ROWS)]
    parts = [scorer().score(ROWS.take(np.arange(begin, end))) for begin, end in zip(edges[:-1], edges[1:], strict=True)]
    assert np.array_equal(np.concatenate(parts), scorer().score(ROWS), equal_nan=True)


@given(order=st.permutations(range(60)))
def test_any_order_gives_a_window_the_same_bits(order: list[int]) -> None:
    some = ROWS.take(np.arange(60))
    assert np.array_equal(scorer().score(some.take(np.array(order))), scorer().score(some)[order], equal_nan=True)


@given(
    effective=st.lists(st.integers(-5, 405), min_size=1, max_size=3, unique=True),
    begin=st.integers(0, 399),
    size=st.integers(1, 400),
)
def test_a_window_is_scored_by_the_version_in_force_at_its_start(effective: list[int], begin: int, size: int) -> None:
    versions = [in_force_from(scorer(seed), DAY_US + 1_000_000 * at) for seed, at in enumerate(effective, start=1)]
    rows = ROWS.take(np.arange(begin, min(begin + size, len(ROWS))))
    scores, named = ModelTimeline.of(versions).score(rows)
    everyones = {one.version: one.score(rows) for one in versions}
    for row, start_us in enumerate(rows.start_us):
        before = [one for one in versions if one.release.effective_from_us <= start_us]
        in_force = max(before, key=lambda one: one.release.effective_from_us, default=None)
        assert named[row] == (in_force.version if in_force else None)
        expected = everyones[in_force.version][row] if in_force else np.nan
        assert np.array_equal(scores[row], expected, equal_nan=True)


def test_a_version_in_force_again_keeps_what_it_was_in_force_for_before() -> None:
    once, again = in_force_from(scorer(1), DAY_US), in_force_from(scorer(1), DAY_US + 2_000_000)
    rows = ROWS.take(np.arange(4))
    assert ModelTimeline.of([once, again]).score(rows)[1] == [once.version] * 4


def test_inputs_are_not_touched() -> None:
    rows = draw_windows(seed=9, people=2, per_person=50)
    before = {name: column.copy() for name, column in rows.features.items()}
    scorer().score(rows)
    matrix = feature_matrix(rows)
    kept = matrix.copy()
    scorer().score_matrix(matrix)
    assert all(np.array_equal(rows[name], before[name], equal_nan=True) for name in before)
    assert np.array_equal(matrix, kept, equal_nan=True)
