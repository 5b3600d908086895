"""Runs of conspicuous minutes (or quarters) as events: one row per run, with its start, its end and its extreme.

Every run ends with its UTC hour at the latest: what lasts longer is reported hour by hour. So an event depends on its
own hour and on nothing before it, and a recompute of an hour gives what the stream gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Events = NDArray[Any]

RUN: Final = np.dtype([("tick", np.int32), ("ticks", np.uint8), ("score", np.float32), ("value", np.float32)])
"""A run in progress: its first tick, how many ticks it has (0: none), its extreme's rank and value."""

_RUNNING: Final = np.dtype(
    [("device", np.int32), ("column", np.uint8), *((name, RUN[name]) for name in RUN.names or ())]
)

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


@dataclass
class Runs:
    """The runs in progress, few as they are; `table` is sorted by device."""

    table: NDArray[Any] = field(default_factory=lambda: np.zeros(0, _RUNNING))

    def of(self, device: NDArray[np.int64], columns: int) -> NDArray[Any]:
        """Return (N, columns) runs of N distinct ascending devices."""
        runs = np.zeros((len(device), columns), RUN)
        mine, row = self._among(device)
        for name in RUN.names or ():
            runs[name][row[mine], self.table["column"][mine]] = self.table[name][mine]
        return runs

    def put(self, device: NDArray[np.int64], runs: NDArray[Any]) -> None:
        """Take (N, columns) runs of N distinct ascending devices in place of what was known of them."""
        mine, _ = self._among(device)
        row, column = np.nonzero(runs["ticks"])
        if not mine.any() and not len(row):
            return
        fresh = np.zeros(len(row), _RUNNING)
        fresh["device"], fresh["column"] = device[row], column
        for name in RUN.names or ():
            fresh[name] = runs[name][row, column]
        table = np.concatenate((self.table[~mine], fresh))
        self.table = table[np.argsort(table["device"], kind="stable")]

    def _among(self, device: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        row = np.minimum(np.searchsorted(device, self.table["device"]), len(device) - 1)
        return device[row] == self.table["device"], row


def follow(
    runs: Runs, device: NDArray[np.int64], tick: NDArray[np.int64], signs: Sequence[Sign], ticks: Ticks
) -> Events:
    """Take one tick of each of some distinct devices; returns events that began to be one, or are over.

    Parameters
    ----------
    runs : Runs, of which column k belongs to ``signs[k]``
    device, tick : (N,), devices ascend, ticks ascend from call to call
    """
    found: list[Events] = []
    if not len(device):
        return np.zeros(0, EVENT)
    now = runs.of(device, len(signs))
    for column, sign in enumerate(signs):
        run = now[:, column].copy()
        found += _over(run, device, tick, sign, ticks)
        found += _going_on(run, device, tick, sign, ticks)
        now[:, column] = run
    runs.put(device, now)
    return np.concatenate(found) if found else np.zeros(0, EVENT)


def close_all(runs: Runs, kinds: Sequence[tuple[int, int]], ticks: Ticks) -> Events:
    """Return what is going on as if it were over; `kinds` gives each column's kind and least ticks."""
    found = [np.zeros(0, EVENT)]
    for column, (kind, least) in enumerate(kinds):
        going_on = runs.table[(runs.table["column"] == column) & (runs.table["ticks"] >= least)]
        found.append(_events(going_on["device"], kind, going_on, ticks))
    return np.concatenate(found)


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
