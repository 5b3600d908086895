"""All rules and rolling rows of any number of devices in one step: what the stream and batch both call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.limits import DeviceLimits
from wearables_platform.signals.minutes import (
    LATE,
    MINUTE_US,
    MOTION,
    MinuteJoin,
    Readings,
    heart_minutes,
    joined,
    motion_columns,
)
from wearables_platform.signals.rolling import ROLLING, Rolling
from wearables_platform.signals.rules import MinuteRules
from wearables_platform.signals.runs import EVENT, HOUR_US, Events
from wearables_platform.signals.silence import Silence
from wearables_platform.signals.spans import Ints, OpenSpans, Table, as_bytes, by_key
from wearables_platform.signals.wear import WEAR, WearRule
from wearables_platform.signals.windows import WindowRows

REACH_BEFORE_US: Final = HOUR_US
"""What starts in a UTC hour depends on nothing earlier than this before the hour."""

REACH_AFTER_US: Final = MINUTE_US
"""What starts at an instant depends on rows of its own hour, and a rolling row on this much after its start."""


@dataclass(frozen=True)
class Findings:
    """What follows from one step.

    Attributes
    ----------
    events : structured array of `EVENT`
        Begun (`open`) or over.
    wear : structured array of `WEAR`
    rolling : structured array of `ROLLING`
    late : structured array of `LATE`
        Minutes whose hour must be computed again from everything.
    """

    events: Events
    wear: Table
    rolling: Table
    late: Table

    def __len__(self) -> int:
        """Return how much was found, of any sort."""
        return len(self.events) + len(self.wear) + len(self.rolling) + len(self.late)

    @classmethod
    def concat(cls, parts: Sequence[Findings]) -> Findings:
        """Join findings end to end."""
        none = cls(np.zeros(0, EVENT), np.zeros(0, WEAR), np.zeros(0, ROLLING), np.zeros(0, LATE))
        joined = (
            np.concatenate([getattr(part, name) for part in (none, *parts)])
            for name in ("events", "wear", "rolling", "late")
        )
        return cls(*joined)


@dataclass
class DeviceRules:
    """Every rule's memory, indexed by device: about 700 bytes each, however long it runs."""

    motion: OpenSpans = field(default_factory=lambda: OpenSpans(MOTION))
    join: MinuteJoin = field(default_factory=MinuteJoin)
    minutes: MinuteRules = field(default_factory=MinuteRules)
    wear: WearRule = field(default_factory=WearRule)
    rolling: Rolling = field(default_factory=Rolling)
    silence: Silence = field(default_factory=Silence)
    touched: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        if devices <= len(self.touched):
            return
        for part in (self.motion, self.join, self.minutes, self.wear, self.rolling, self.silence):
            part.grow(devices)
        self.touched = np.concatenate((self.touched, np.ones(devices - len(self.touched), bool)))

    def hear(self, device: NDArray[np.int32], end_us: Ints, append_us: Ints) -> Events:
        """Take messages in the order of the log; returns the silences they end."""
        self.touched[device] = True
        return self.silence.step(device, end_us, append_us)

    def listen(self, log_us: int) -> Events:
        """Let time pass; returns the silences that have begun."""
        events = self.silence.overdue(log_us)
        self.touched[events["device"]] = True
        return events

    def step(self, rows: WindowRows, readings: Readings) -> Findings:
        """Take final one-second rows, sorted by (device, time) and later than those before, and readings."""
        if not len(rows) and not len(readings.device) and not self.join.freed:
            return Findings.concat([])
        self.touched[rows.device] = self.touched[readings.device] = True
        rolling = self.rolling.step(rows)
        wear, worn = self.wear.step(rows)
        over = self.motion.add(rows.device, rows.start_us // MINUTE_US, motion_columns(rows))
        if not len(over) and not len(readings.device) and not self.join.freed:
            return Findings(worn, wear, rolling, np.zeros(0, LATE))
        heart = heart_minutes(readings)
        minutes, late = self.join.take(over, heart, self.motion.table["span"])
        return Findings(np.concatenate((worn, self.minutes.step(minutes))), wear, rolling, late)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the whole memory: per device rows of bytes, and tables of any number of rows per device."""
        columns = {name: as_bytes(getattr(part, of)) for name, (part, of) in self._arrays().items()}
        for name, (part, of) in self._tables().items():
            columns |= _keyed(name, getattr(part, of))
        return columns

    def rows_of(self, devices: Ints) -> dict[str, NDArray[Any]]:
        """Return the memory of these devices, in this order."""
        columns = {name: as_bytes(getattr(part, of)[devices]) for name, (part, of) in self._arrays().items()}
        place = np.full(len(self.touched), -1)
        place[devices] = np.arange(len(devices))
        for name, (part, of) in self._tables().items():
            table = getattr(part, of)
            mine = np.flatnonzero(place[table["device"]] >= 0)
            table = table[mine[np.argsort(place[table["device"][mine]], kind="stable")]]
            columns |= _keyed(name, table)
        return columns

    def changed(self) -> Ints:
        """Return the devices touched since `mark_saved`, ascending."""
        return np.flatnonzero(self.touched)

    def mark_saved(self) -> None:
        """Begin to collect changes anew."""
        self.touched[:] = False

    def restore(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Take the place of a memory that gave these columns."""
        for name, (part, of) in self._arrays().items():
            setattr(part, of, from_bytes(columns[name], getattr(part, of)))
        for name, (part, of) in self._tables().items():
            named = np.hstack((as_bytes(columns[f"{name}.device"]), columns[f"{name}.rows"]))
            setattr(part, of, from_bytes(named, getattr(part, of)))
        self.touched = np.zeros(len(columns["heard"]), bool)

    def _arrays(self) -> dict[str, tuple[Any, str]]:
        return {
            "motion": (self.motion, "table"),
            "heart_front": (self.join, "heart_front"),
            "done": (self.join, "done"),
            "memory": (self.minutes, "memory"),
            "quarter": (self.wear.open, "table"),
            "ten": (self.rolling.open, "table"),
            "quarters": (self.wear.kept, "table"),
            "tens": (self.rolling.kept, "table"),
            "heard": (self.silence, "heard"),
        }

    def _tables(self) -> dict[str, tuple[Any, str]]:
        return {
            "motion_waiting": (self.join, "motion"),
            "heart_waiting": (self.join, "heart"),
            "runs": (self.minutes.runs, "table"),
            "wear_runs": (self.wear.runs, "table"),
        }


def _keyed(name: str, table: Table) -> dict[str, NDArray[Any]]:
    """Return a table as two columns: whose each row is, and what follows that in the row."""
    return {f"{name}.device": table["device"].copy(), f"{name}.rows": as_bytes(table)[:, table["device"].itemsize :]}


def from_bytes(raw: NDArray[np.uint8], like: NDArray[Any]) -> NDArray[Any]:
    """Return the array that `as_bytes` was given; `like` has its type and the shape of its rows."""
    width = like.dtype.itemsize * int(np.prod(like.shape[1:], dtype=np.int64))
    if raw.shape[1] != width:
        msg = f"rows of {raw.shape[1]} bytes where {width} are expected"
        raise ValueError(msg)
    return np.ascontiguousarray(raw).reshape(-1).view(like.dtype).reshape(len(raw), *like.shape[1:]).copy()


def final_findings(rows: WindowRows, readings: Readings, devices: int, limits: DeviceLimits | None = None) -> Findings:
    """Return what all rows and readings of some devices come to; each event once, as it ended.

    The same kernels as `DeviceRules.step`, but for the waiting: movement and heart rate are both complete.
    """
    parts = DeviceRules()
    parts.grow(devices)
    parts.minutes.limits = limits
    over = parts.motion.add(rows.device, rows.start_us // MINUTE_US, motion_columns(rows))
    heart = heart_minutes(readings)
    minutes = joined(by_key(np.concatenate((over, parts.motion.left()))), heart)
    events = parts.minutes.whole_hours(minutes)
    (wear, worn), (rest, worn_last) = parts.wear.step(rows), parts.wear.finish()
    rolling = np.concatenate((parts.rolling.step(rows), parts.rolling.finish()))
    found = np.concatenate((events, worn, worn_last))
    return Findings(found[~found["open"]], np.concatenate((wear, rest)), rolling, np.zeros(0, LATE))
