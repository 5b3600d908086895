"""Runs of conspicuous minutes (or quarters) as events: one row per run, with its start, its end and its extreme.

Every run ends with its UTC hour at the latest: what lasts longer is reported hour by hour. So an event depends on its
own hour and on nothing before it, and a recompute of an hour gives what the stream gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Events = NDArray[Any]

RUN: Final = np.dtype([("tick", np.int32), ("ticks", np.uint8), ("score", np.float32), ("value", np.float32)])
"""A run in progress: its first tick, how many ticks it has (0: none), its extreme's rank and value."""

EVENT: Final = np.dtype(
    [
        ("device", np.int32),
        ("kind", np.uint8),  # place in the rule kinds
        ("start_us", np.int64),
        ("end_us", np.int64),
        ("value", np.float64),
        ("ticks", np.int32),
        ("open", np.bool_),  # still going on when this was said
    ]
)

HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True)
class Ticks:
    """The clock runs are counted by."""

    tick_us: int

    @property
    def per_hour(self) -> int:
        """Return how many ticks an hour has."""
        return HOUR_US // self.tick_us


@dataclass(frozen=True)
class Sign:
    """One kind's verdict on one tick of some devices, (N,) each.

    Attributes
    ----------
    kind : place in the rule kinds
    there : whether the tick is conspicuous
    score : which tick is the extreme one: the first with the highest score
    value : what is reported of it
    least : a run is an event from so many ticks
    """

    kind: int
    there: NDArray[np.bool_]
    score: NDArray[Any]
    value: NDArray[Any]
    least: int


def follow(
    runs: NDArray[Any], device: NDArray[np.int64], tick: NDArray[np.int64], signs: Sequence[Sign], ticks: Ticks
) -> Events:
    """Take one tick of each of some distinct devices; returns events that began to be one, or are over.

    Parameters
    ----------
    runs : (D, K) array of `RUN`, changed in place; column k belongs to ``signs[k]``
    device, tick : (N,), ticks ascend from call to call
    """
    found = []
    for column, sign in enumerate(signs):
        run = runs[device, column]
        found += _over(run, device, tick, sign, ticks)
        found += _going_on(run, device, tick, sign, ticks)
        runs[device, column] = run
    return np.concatenate(found) if found else np.zeros(0, EVENT)


def close_all(runs: NDArray[Any], kinds: Sequence[tuple[int, int]], ticks: Ticks) -> Events:
    """Return what is going on as if it were over; `kinds` gives each column's kind and least ticks."""
    found = [
        _events(np.flatnonzero(runs[:, c]["ticks"] >= least), kind, runs[:, c][runs[:, c]["ticks"] >= least], ticks)
        for c, (kind, least) in enumerate(kinds)
    ]
    return np.concatenate(found) if found else np.zeros(0, EVENT)


def _over(
    run: NDArray[Any], device: NDArray[np.int64], tick: NDArray[np.int64], sign: Sign, ticks: Ticks
) -> list[Events]:
    interrupted = run["tick"].astype(np.int64) + run["ticks"] != tick
    hour_over = run["tick"] // ticks.per_hour != tick // ticks.per_hour
    over = (run["ticks"] > 0) & (~sign.there | interrupted | hour_over)
    said = over & (run["ticks"] >= sign.least)
    events = [_events(device[said], sign.kind, run[said], ticks)] if said.any() else []
    run[over] = np.zeros((), RUN)
    return events


def _going_on(
    run: NDArray[Any], device: NDArray[np.int64], tick: NDArray[np.int64], sign: Sign, ticks: Ticks
) -> list[Events]:
    fresh = sign.there & (run["ticks"] == 0)
    run["tick"][fresh] = tick[fresh]
    run["score"][fresh] = -np.inf
    score = sign.score.astype(np.float32)
    higher = sign.there & (score > run["score"])
    run["score"][higher] = score[higher]
    run["value"][higher] = sign.value.astype(np.float32)[higher]
    run["ticks"][sign.there] += 1
    begun = sign.there & (run["ticks"] == sign.least)
    if not begun.any():
        return []
    events = _events(device[begun], sign.kind, run[begun], ticks)
    events["open"] = True
    return [events]


def _events(device: NDArray[Any], kind: int, run: NDArray[Any], ticks: Ticks) -> Events:
    events = np.zeros(len(device), EVENT)
    events["device"], events["kind"] = device, kind
    events["start_us"] = run["tick"].astype(np.int64) * ticks.tick_us
    events["end_us"] = events["start_us"] + run["ticks"].astype(np.int64) * ticks.tick_us
    events["value"], events["ticks"] = run["value"], run["ticks"]
    return events
