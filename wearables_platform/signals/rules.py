"""Rules over whole minutes of movement and heart rate, for any number of devices at once.

All memory begins anew with each UTC hour: an hour's events are a function of the hour's minutes. What that costs is the
warm-up at its start: 9 minutes until "at rest for 10 minutes" can be said, 15 until "unusual" can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.limits import DeviceLimits
from wearables_platform.signals.minutes import MINUTE_US
from wearables_platform.signals.rule_kinds import (
    HEART_RATE_LOCKED_TO_CADENCE,
    HIGH_HEART_RATE_AT_REST,
    IMPLAUSIBLE_HEART_RATE,
    KIND_NUMBER,
    MINUTE_KINDS,
    RATE_DRIFT,
    STUCK_SENSOR,
    UNUSUAL_ENMO,
    UNUSUAL_MAD,
    RuleKind,
)
from wearables_platform.signals.runs import EVENT, Events, Runs, Sign, Ticks, close_all, follow
from wearables_platform.signals.spans import Table

MINUTES: Final = Ticks(MINUTE_US)
WARM_UP_MINUTES: Final = 15

MEMORY: Final = np.dtype(
    [
        ("hour", np.int32),
        ("rest_minute", np.uint8),  # last minute of the hour at rest, and how many up to it without a break
        ("rest", np.uint8),
        ("seen", np.uint8),  # minutes with movement in this hour
        ("mean", np.float32),  # of the warm-up: centre and sum of squares around it; then the chart's state
        ("squares", np.float32),
        ("chart", np.float32),
        ("recent", np.float16, (WARM_UP_MINUTES,)),  # of ln(1 + MAD / 10 mg): good to 0.2 %
    ]
)
"""What a device's past minutes of this hour come to."""


Rest = tuple[float | NDArray[np.float64], float | NDArray[np.float64]]


@dataclass(frozen=True)
class RuleParams:
    """Thresholds of the rules; the defaults are what the kinds are documented with."""

    min_seconds: int = 30
    stuck_share: float = 0.9
    stuck_min_s: int = 10
    drift_percent: float = 2.0
    rest_enmo_mg: float = 20.0
    rest_minutes: int = 10
    rest_high_bpm: float = 100.0
    locked_within_bpm: float = 3.0
    locked_min_steps: float = 60.0
    scale_mg: float = 10.0
    chart_weight: float = 0.2
    chart_limit: float = 3.0
    chart_min_sigma: float = 1.0
    modified_z: float = 3.5
    min_spread: float = 0.3


@dataclass
class MinuteRules:
    """The rules' memory, indexed by device."""

    params: RuleParams = field(default_factory=RuleParams)
    limits: DeviceLimits | None = None  # of rest, by device and minute; not saved with the memory
    memory: NDArray[Any] = field(default_factory=lambda: np.zeros(0, MEMORY))
    runs: Runs = field(default_factory=Runs)

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        missing = devices - len(self.memory)
        if missing > 0:
            self.memory = np.concatenate((self.memory, np.zeros(missing, MEMORY)))

    def step(self, minutes: Table) -> Events:
        """Judge minutes, sorted by (device, minute) and later than those before; returns events begun or over."""
        return self._judge_all(minutes, self._rest(minutes))

    def whole_hours(self, minutes: Table) -> Events:
        """Judge minutes of whole hours, sorted by (device, minute), with no memory of others; returns what is over.

        Every hour of every device stands as a device of its own, all of them at once: an hour's events are a function
        of the hour's minutes. So a day takes as many rounds as an hour does.
        """
        hour = minutes["span"] // MINUTES.per_hour
        opens = np.append(True, (np.diff(minutes["device"]) != 0) | (np.diff(hour) != 0))[: len(minutes)]
        apart = MinuteRules(self.params)
        apart.grow(int(opens.sum()))
        renumbered = minutes.copy()
        renumbered["device"] = np.cumsum(opens) - 1
        found = np.concatenate((apart._judge_all(renumbered, self._rest(minutes)), apart.finish()))
        found["device"] = minutes["device"][opens][found["device"]]
        return np.asarray(found[~found["open"]])

    def finish(self) -> Events:
        """Return what is going on as if it were over."""
        kinds = [(KIND_NUMBER[kind.name], kind.least) for kind in MINUTE_KINDS]
        return close_all(self.runs, kinds, MINUTES)

    def _judge_all(self, minutes: Table, rest: Rest) -> Events:
        found = [self._judge(minutes[places], _at(rest, places)) for places in ranks(minutes["device"])]
        return np.concatenate(found) if found else np.zeros(0, EVENT)

    def _judge(self, minutes: Table, rest: Rest) -> Events:
        device, tick = minutes["device"].astype(np.int64), minutes["span"].astype(np.int64)
        memory = self.memory[device]
        memory[memory["hour"] != tick // MINUTES.per_hour] = np.zeros((), MEMORY)
        memory["hour"] = tick // MINUTES.per_hour
        signs = [
            _stuck(minutes, self.params),
            _drifting(minutes, self.params),
            _implausible(minutes),
            _high_at_rest(minutes, memory, self.params, rest),
            _locked(minutes, self.params),
            *_unusual(minutes, memory, self.params),
        ]
        self.memory[device] = memory
        return follow(self.runs, device, tick, signs, MINUTES)

    def _rest(self, minutes: Table) -> Rest:
        """Return what rest is, and a high heart rate at rest, in each minute."""
        if self.limits is None:
            return self.params.rest_enmo_mg, self.params.rest_high_bpm
        return self.limits.rest(minutes["device"], minutes["span"].astype(np.int64) * MINUTE_US)


def ranks(device: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """Yield the places of every device's first row, then of every second one, and so on; `device` is sorted."""
    if not len(device):
        return
    opens = np.append(True, np.diff(device) != 0)
    first = np.flatnonzero(opens)
    rank = np.arange(len(device)) - first[np.cumsum(opens) - 1]
    order = np.argsort(rank, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(rank[order])) + 1)


def _at(rest: Rest, places: NDArray[np.intp]) -> Rest:
    """Return what rest is at some places; where it is one for all, that."""
    enmo_mg, high_bpm = (limit if isinstance(limit, float) else limit[places] for limit in rest)
    return enmo_mg, high_bpm


def _sign(kind: RuleKind, there: NDArray[np.bool_], value: NDArray[Any], score: NDArray[Any] | None = None) -> Sign:
    return Sign(KIND_NUMBER[kind.name], there, value if score is None else score, value, kind.least)


def _stuck(minutes: Table, params: RuleParams) -> Sign:
    stuck = minutes["stuck"]
    there = (stuck >= params.stuck_min_s) & (stuck >= params.stuck_share * minutes["seconds"])
    return _sign(STUCK_SENSOR, there, stuck)


def _drifting(minutes: Table, params: RuleParams) -> Sign:
    percent = 100.0 * minutes["drift"]
    return _sign(RATE_DRIFT, np.abs(percent) > params.drift_percent, percent, np.abs(percent))


def _implausible(minutes: Table) -> Sign:
    worst = minutes["bad_bpm"]
    return _sign(IMPLAUSIBLE_HEART_RATE, minutes["bad"] > 0, worst, np.abs(worst - np.float32(125.0)))


def _high_at_rest(minutes: Table, memory: NDArray[Any], params: RuleParams, rest: Rest) -> Sign:
    rest_enmo_mg, rest_high_bpm = rest
    minute = minutes["span"] % MINUTES.per_hour
    still = (minutes["seconds"] >= params.min_seconds) & (minutes["enmo_mg"] < rest_enmo_mg)
    goes_on = memory["rest_minute"] == minute - 1
    memory["rest"] = np.where(still, np.where(goes_on, memory["rest"], 0) + 1, 0)
    memory["rest_minute"] = np.where(still, minute, memory["rest_minute"])
    there = (memory["rest"] >= params.rest_minutes) & (minutes["bpm"] > rest_high_bpm)
    return _sign(HIGH_HEART_RATE_AT_REST, there, minutes["bpm"])


def _locked(minutes: Table, params: RuleParams) -> Sign:
    known = minutes["seconds"] >= params.min_seconds
    per_minute = 60.0 * minutes["steps"] / np.maximum(minutes["seconds"], 1)
    apart = np.abs(minutes["bpm"] - per_minute)
    there = known & (per_minute >= params.locked_min_steps) & (apart < params.locked_within_bpm)
    return _sign(HEART_RATE_LOCKED_TO_CADENCE, there, minutes["bpm"], -apart)


def _unusual(minutes: Table, memory: NDArray[Any], params: RuleParams) -> tuple[Sign, Sign]:
    """Compare a minute with the hour so far, then make it a part of that; minutes without movement do neither."""
    known = minutes["seconds"] >= params.min_seconds
    warm = known & (memory["seen"] >= WARM_UP_MINUTES)
    enmo, mad = (
        np.log1p(np.where(known, np.maximum(minutes[name], 0.0), 0.0) / params.scale_mg)
        for name in ("enmo_mg", "mad_mg")
    )
    out = _chart(enmo, known & ~warm, warm, memory, params)
    z = _modified_z(mad, memory, params)
    strange = warm & (z > params.modified_z)
    ring = np.flatnonzero(known & ~strange)  # what is strange does not become usual by going on
    memory["recent"][ring, memory["seen"][ring] % WARM_UP_MINUTES] = mad[ring]
    memory["seen"][known] += 1
    return (
        _sign(UNUSUAL_ENMO, warm & (out > 1.0), minutes["enmo_mg"], out),
        _sign(UNUSUAL_MAD, strange, minutes["mad_mg"], z),
    )


def _chart(
    value: NDArray[Any], learns: NDArray[np.bool_], warm: NDArray[np.bool_], memory: NDArray[Any], params: RuleParams
) -> NDArray[Any]:
    """Return how far the chart is from its centre, in limits; while it `learns` it gathers centre and spread."""
    count = memory["seen"] + 1.0
    delta = value - memory["mean"]
    mean = np.where(learns, memory["mean"] + delta / count, memory["mean"])
    memory["squares"] = np.where(learns, memory["squares"] + delta * (value - mean), memory["squares"])
    memory["mean"] = mean
    smoothed = params.chart_weight * value + (1.0 - params.chart_weight) * memory["chart"]
    memory["chart"] = np.where(warm, smoothed, np.where(learns, mean, memory["chart"]))
    sigma = np.maximum(np.sqrt(memory["squares"] / (WARM_UP_MINUTES - 1)), params.chart_min_sigma)
    limit = params.chart_limit * sigma * np.sqrt(params.chart_weight / (2.0 - params.chart_weight))
    return np.asarray(np.abs(memory["chart"] - mean) / limit)


def _modified_z(value: NDArray[Any], memory: NDArray[Any], params: RuleParams) -> NDArray[Any]:
    recent = memory["recent"].astype(np.float64)
    middle = np.median(recent, axis=1)
    spread = np.median(np.abs(recent - middle[:, None]), axis=1)
    return np.asarray(0.6745 * np.abs(value - middle) / np.maximum(spread, params.min_spread))
