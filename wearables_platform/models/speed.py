"""How dear a model is: timed against a forest of the usual size, turn by turn, so that a busy machine decides nothing.

Two questions. The gate asks once, of a candidate, whether it costs more than a model may (`check_cost`). Whoever loads
a version asks only whether it can be used at all (`check_usable`), with so wide a margin that no load of a machine says
no.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.forest import FlatTrees, TreeNodes
from wearables_platform.models.inputs import Matrix
from wearables_platform.models.refusal import Refusal, refused

Clock = Callable[[], float]
Score = Callable[[Matrix], NDArray[Any]]

WINDOWS: Final = 1_000
TURNS: Final = 7
"""Turns of each, one after the other; the fastest of each count: what disturbs a turn only makes it slower."""

REFERENCE_TREES: Final = 100
REFERENCE_DEPTH: Final = 10
"""What an isolation forest of 1,024 windows a tree has."""

UNUSABLE_US_PER_WINDOW: Final = 10_000.0
"""A model dearer than this falls behind a hundred watches on any machine; a usual one takes a few microseconds."""


def check_cost(score: Score, probe: Matrix, most: float, clock: Clock = time.perf_counter) -> None:
    """Raise `ModelRefused` where scoring costs more than `most` times what the reference forest does."""
    cost = relative_cost(score, probe, clock)
    if cost > most:
        raise refused(Refusal.TOO_SLOW, f"{cost:.0f} times the reference forest, {most:.0f} allowed")


def relative_cost(score: Score, probe: Matrix, clock: Clock = time.perf_counter) -> float:
    """Return how many times the reference forest's time scoring takes, a thousand windows like `probe` at a time."""
    matrix = np.resize(probe, (WINDOWS, probe.shape[1]))
    reference = _reference(probe.shape[1])
    turns = [(_timed(reference.leaves, matrix, clock), _timed(score, matrix, clock)) for _ in range(TURNS)]
    return min(own for _, own in turns) / min(usual for usual, _ in turns)


def check_usable(score: Score, probe: Matrix, clock: Clock = time.perf_counter) -> None:
    """Raise `ModelRefused` where not one of three turns is fast enough to be of any use."""
    matrix = np.resize(probe, (WINDOWS, probe.shape[1]))
    took_us = [_timed(score, matrix, clock) * 1e6 / WINDOWS]
    while took_us[-1] > UNUSABLE_US_PER_WINDOW and len(took_us) < 3:
        took_us.append(_timed(score, matrix, clock) * 1e6 / WINDOWS)
    if took_us[-1] > UNUSABLE_US_PER_WINDOW:
        detail = f"{min(took_us):.0f} us per window, of no use over {UNUSABLE_US_PER_WINDOW:.0f}"
        raise refused(Refusal.TOO_SLOW, detail)


def _timed(score: Score, matrix: Matrix, clock: Clock) -> float:
    began = clock()
    score(matrix)
    return clock() - began


@cache
def _reference(n_features: int) -> FlatTrees:
    """Return complete trees that split at random: the same for every process."""
    random = np.random.default_rng(0)
    inner, nodes = 2**REFERENCE_DEPTH - 1, 2 ** (REFERENCE_DEPTH + 1) - 1
    own = np.arange(nodes)
    left, right = (np.where(own < inner, 2 * own + side, -1) for side in (1, 2))
    of_all = REFERENCE_TREES * nodes
    return FlatTrees.checked(
        TreeNodes(
            sizes=np.full(REFERENCE_TREES, nodes, np.int64),
            left=np.tile(left, REFERENCE_TREES),
            right=np.tile(right, REFERENCE_TREES),
            feature=random.integers(0, n_features, of_all),
            threshold=random.normal(size=of_all),
        ),
        n_features,
    )
