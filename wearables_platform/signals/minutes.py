"""Whole UTC minutes of movement and of heart rate, and both joined: what the rules look at.

A minute is over for one sensor when that sensor speaks of a later one. It is judged when both are past it, or when one
of them is `GRACE_MINUTES` past it: a heart rate that comes later than that, or movement, is named as late, and whoever
recomputes the hour takes it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.spans import NO_SPAN, Ints, SpanLayout, Table, by_key, devices_and_spans, keys_of
from wearables_platform.signals.windows import WindowRows

MINUTE_US: Final = 60_000_000

GRACE_MINUTES: Final = 2
"""Heart rate comes in batches of up to a minute, and late by another one at most as a rule."""

PLAUSIBLE_BPM: Final = (30.0, 220.0)
"""Adults; outside a wrist sensor is wrong far more often than a heart is."""

CHANGE_WITHIN_US: Final = 1_500_000
CHANGE_BPM: Final = 30.0
"""No heart changes its rate by more from one second to the next."""

MOTION: Final = SpanLayout(
    {
        "seconds": np.uint8,
        "stuck": np.uint8,
        "unbroken": np.uint8,
        "steps": np.int16,
        "samples": np.int32,
        "expected": np.float32,  # whole numbers below 2**24 as a rule, so exact
        "enmo_mg": np.float32,
        "mad_mg": np.float32,
    }
)

HEART: Final = np.dtype(
    [
        ("device", np.int32),
        ("span", np.int32),
        ("readings", np.uint16),
        ("milli_bpm", np.int64),
        ("bad", np.uint16),
        ("low", np.float32),
        ("high", np.float32),
    ]
)
"""A minute of heart rate; sums are integers, so the order of readings does not matter."""

MINUTE: Final = np.dtype(
    [
        ("device", np.int32),
        ("span", np.int32),
        ("seconds", np.int16),  # with movement
        ("stuck", np.int16),  # of these, flagged as stuck
        ("steps", np.int16),
        ("enmo_mg", np.float64),  # NaN without movement
        ("mad_mg", np.float64),
        ("drift", np.float64),  # samples over samples expected, minus 1; NaN with few unbroken seconds
        ("readings", np.int32),
        ("bpm", np.float64),  # mean of the plausible readings, NaN without one
        ("bad", np.int32),
        ("bad_bpm", np.float32),  # the bad reading furthest from what is plausible, NaN without one
    ]
)

LATE: Final = np.dtype([("device", np.int32), ("span", np.int32), ("heart", np.bool_)])
"""A minute that was judged without all there is of it, and whether it is heart rate that it lacked, or movement."""

# Within such seconds the count of samples says nothing of the sensor's clock.
_BROKEN: Final = QualityFlag.GAP | QualityFlag.CLOCK_STEP | QualityFlag.OVERLAP | QualityFlag.REBOOT
_MIN_UNBROKEN_S: Final = 30


def motion_columns(rows: WindowRows) -> dict[str, NDArray[Any]]:
    """Return what `MOTION` sums of one-second rows."""
    flags, known = rows["flags"].astype(np.int32), rows["n_samples"] > 0
    unbroken = known & ((flags & int(_BROKEN)) == 0)
    return {
        "seconds": known,
        "stuck": known & ((flags & int(QualityFlag.STUCK)) != 0),
        "unbroken": unbroken,
        "steps": rows["steps"],
        "samples": np.where(unbroken, rows["n_samples"], 0),
        "expected": np.where(unbroken, rows["rate_hz"], 0.0),
        "enmo_mg": np.where(known, rows["enmo_mg"], 0.0),
        "mad_mg": np.where(known, rows["mad_mg"], 0.0),
    }


@dataclass(frozen=True)
class Readings:
    """Heart-rate readings, N of them in any order.

    Attributes
    ----------
    device, time_us, bpm, change_bpm : (N,)
        The change is that from the reading at most 1.5 s before in the same message, 0 where there is none: what a
        reading is compared with does not depend on the order in which messages come.
    """

    device: NDArray[np.int32]
    time_us: Ints
    bpm: NDArray[Any]
    change_bpm: NDArray[np.float64]

    @classmethod
    def of(cls, device: NDArray[np.int32], time_us: Ints, bpm: NDArray[Any], message: NDArray[Any]) -> Readings:
        """Return readings; `message` tells apart which message each one is in."""
        return cls(device, time_us, bpm, changes_bpm(message, time_us, bpm.astype(np.float64)))

    @classmethod
    def none(cls) -> Readings:
        """Return no readings."""
        return cls(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    @classmethod
    def concat(cls, parts: Sequence[Readings]) -> Readings:
        """Join readings end to end."""
        names = ("device", "time_us", "bpm", "change_bpm")
        return cls(*(np.concatenate([getattr(part, name) for part in parts or (cls.none(),)]) for name in names))

    def take(self, index: NDArray[Any]) -> Readings:
        """Return the readings that `index` selects."""
        return Readings(self.device[index], self.time_us[index], self.bpm[index], self.change_bpm[index])


def changes_bpm(message: NDArray[Any], time_us: Ints, bpm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much each reading differs from the one just before it in its message."""
    order = np.lexsort((time_us, message))
    apart_us = np.diff(time_us[order])
    near = (np.diff(message[order]) == 0) & (apart_us > 0) & (apart_us <= CHANGE_WITHIN_US)
    change = np.zeros(len(bpm))
    change[order[1:]] = np.where(near, np.diff(bpm[order]), 0.0)
    return change


def heart_minutes(readings: Readings) -> Table:
    """Sum readings, in any order, by (device, minute); what is no number is left out.

    A reading that changed too fast is bad, but counts for the mean: which of the two is wrong cannot be told.
    """
    readings = readings.take(np.isfinite(readings.bpm))
    bpm = readings.bpm.astype(np.float64)
    outside = (bpm < PLAUSIBLE_BPM[0]) | (bpm > PLAUSIBLE_BPM[1])
    bad = outside | (np.abs(readings.change_bpm) > CHANGE_BPM)
    table = np.zeros(len(bpm), HEART)
    table["device"], table["span"] = readings.device, readings.time_us // MINUTE_US
    table["readings"], table["bad"] = ~outside, bad
    table["milli_bpm"] = np.where(outside, 0.0, np.rint(bpm * 1000))
    table["low"], table["high"] = np.where(bad, bpm, np.inf), np.where(bad, bpm, -np.inf)
    return heart_sums(table)


def heart_sums(table: Table) -> Table:
    """Put rows of the same (device, minute) together; returns them sorted by it."""
    keys, place = np.unique(keys_of(table["device"], table["span"]), return_inverse=True)
    sums = np.zeros(len(keys), HEART)
    sums["device"], sums["span"] = devices_and_spans(keys)
    for name in ("readings", "milli_bpm", "bad"):
        sums[name] = np.bincount(place, weights=table[name], minlength=len(keys))  # exact: far below 2**53
    low, high = np.full(len(keys), np.inf, np.float32), np.full(len(keys), -np.inf, np.float32)
    np.minimum.at(low, place, table["low"])
    np.maximum.at(high, place, table["high"])
    sums["low"], sums["high"] = low, high
    return sums


@dataclass
class MinuteJoin:
    """Minutes of either sensor that the other may still have something to say about.

    Attributes
    ----------
    heart_front : (D,) int32
        Latest minute heart rate has spoken of.
    done : (D,) int32
        Minutes before this one have been judged.
    motion, heart : structured arrays
        What waits, sorted by (device, minute): a few minutes per device.
    motion_may_go_on, heart_may_go_on : bool
        Whether a minute may be judged without the other sensor after the grace. Not while the other's messages of that
        time are known to be unread.
    """

    heart_front: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    done: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    motion: Table = field(default_factory=lambda: MOTION.empty(0))
    heart: Table = field(default_factory=lambda: np.zeros(0, HEART))
    motion_may_go_on: bool = True
    heart_may_go_on: bool = True
    _taken_with: tuple[bool, bool] | None = None

    @property
    def freed(self) -> bool:
        """Tell whether what waits may be judged now and could not be when minutes were last taken."""
        return self._taken_with != (self.motion_may_go_on, self.heart_may_go_on)

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        missing = devices - len(self.done)
        if missing > 0:
            nothing = np.full(missing, NO_SPAN, np.int32)
            self.heart_front = np.concatenate((self.heart_front, nothing))
            self.done = np.concatenate((self.done, nothing))

    def take(self, motion: Table, heart: Table, motion_front: NDArray[np.int32]) -> tuple[Table, Table]:
        """Take minutes that are over and sums of new readings; returns the minutes to judge, and the late keys.

        Parameters
        ----------
        motion : structured array of `MOTION`
            Minutes that are over.
        heart : structured array of `HEART`
        motion_front : (D,)
            The minute each device's movement is in.

        Returns
        -------
        minutes : structured array of `MINUTE`, sorted by (device, minute)
        late : structured array of `LATE`
            Minutes judged before what is given now; and those judged while movement was still in them, which ends there
            if it ever comes back.
        """
        self._taken_with = self.motion_may_go_on, self.heart_may_go_on
        late = [self._late(motion, heart=False), self._late(heart, heart=True)]
        self.motion = by_key(np.concatenate((self.motion, motion[motion["span"] >= self.done[motion["device"]]])))
        self.heart = heart_sums(np.concatenate((self.heart, heart[heart["span"] >= self.done[heart["device"]]])))
        np.maximum.at(self.heart_front, heart["device"], heart["span"])
        before, front = self.done, motion_front.astype(np.int64)
        self.done = np.maximum(before, self._ready(front, self.heart_front.astype(np.int64)))
        overtaken = np.flatnonzero((front >= before) & (front < self.done) & (front != NO_SPAN))
        return self._released(), np.concatenate([*late, _late(overtaken, front[overtaken], heart=False)])

    def _late(self, table: Table, *, heart: bool) -> Table:
        table = table[table["span"] < self.done[table["device"]]]
        return _late(table["device"], table["span"], heart=heart)

    def _ready(self, motion: Ints, heart: Ints) -> NDArray[np.int32]:
        """Return the minute before which both sensors, or one of them and patience, are at an end."""
        ready = np.minimum(motion, heart)
        if self.motion_may_go_on:
            ready = np.maximum(ready, motion - GRACE_MINUTES)
        if self.heart_may_go_on:
            ready = np.maximum(ready, heart - GRACE_MINUTES)
        return np.asarray(ready.clip(NO_SPAN), np.int32)

    def _released(self) -> Table:
        motion_ready = self.motion["span"] < self.done[self.motion["device"]]
        heart_ready = self.heart["span"] < self.done[self.heart["device"]]
        minutes = joined(self.motion[motion_ready], self.heart[heart_ready])
        self.motion, self.heart = self.motion[~motion_ready], self.heart[~heart_ready]
        return minutes


def _late(device: NDArray[Any], span: NDArray[Any], *, heart: bool) -> Table:
    late = np.zeros(len(device), LATE)
    late["device"], late["span"], late["heart"] = device, span, heart
    return late


def joined(motion: Table, heart: Table) -> Table:
    """Join minutes of both sensors by (device, minute); either may be missing."""
    motion_keys, heart_keys = (keys_of(table["device"], table["span"]) for table in (motion, heart))
    keys = np.union1d(motion_keys, heart_keys)
    minutes = np.zeros(len(keys), MINUTE)
    minutes["device"], minutes["span"] = devices_and_spans(keys)
    for name in ("enmo_mg", "mad_mg", "drift", "bpm", "bad_bpm"):
        minutes[name] = np.nan
    _put_motion(minutes, np.searchsorted(keys, motion_keys), motion)
    _put_heart(minutes, np.searchsorted(keys, heart_keys), heart)
    return minutes


def _put_motion(minutes: Table, at: NDArray[np.intp], motion: Table) -> None:
    seconds = motion["seconds"].astype(np.float64)
    for name in ("seconds", "stuck", "steps"):
        minutes[name][at] = motion[name]
    with np.errstate(invalid="ignore", divide="ignore"):
        minutes["enmo_mg"][at] = motion["enmo_mg"] / seconds
        minutes["mad_mg"][at] = motion["mad_mg"] / seconds
        drift = motion["samples"] / motion["expected"] - 1.0
    minutes["drift"][at] = np.where(motion["unbroken"] >= _MIN_UNBROKEN_S, drift, np.nan)


def _put_heart(minutes: Table, at: NDArray[np.intp], heart: Table) -> None:
    minutes["readings"][at], minutes["bad"][at] = heart["readings"], heart["bad"]
    with np.errstate(invalid="ignore", divide="ignore"):
        minutes["bpm"][at] = heart["milli_bpm"] / heart["readings"] / 1000.0
    below, above = PLAUSIBLE_BPM[0] - heart["low"], heart["high"] - PLAUSIBLE_BPM[1]
    worst = np.where(below >= above, heart["low"], heart["high"])
    minutes["bad_bpm"][at] = np.where(heart["bad"] > 0, worst, np.nan)
