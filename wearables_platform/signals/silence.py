"""Silence is an event too: no newer data for a while, by the clock of the log.

Only messages that reach further in event time than everything before them count, so a late copy of old data does not
end a silence. The event starts at the instant the data had reached and lasts as long as the log waited.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.rule_kinds import KIND_NUMBER, SILENT_SENSOR
from wearables_platform.signals.runs import EVENT, Events
from wearables_platform.signals.spans import Ints

SILENT_US: Final = 60_000_000
"""Devices send every few seconds at most, and keep what they cannot send: a minute is no jitter."""

LONGEST_US: Final = 12 * 3_600_000_000
"""A longer silence, in log time or in event time, is reported with this length: nobody need look further back."""

HEARD: Final = np.dtype([("reached_us", np.int64), ("log_us", np.int64), ("said", np.bool_)])
"""How far a device's data reach, when the log took the message that did, and whether the silence was announced."""

NEVER_US: Final = -(2**62)
_KIND: Final = KIND_NUMBER[SILENT_SENSOR.name]


@dataclass
class Silence:
    """What was last heard of each device."""

    heard: NDArray[Any] = field(default_factory=lambda: np.zeros(0, HEARD))

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        fresh = np.zeros(max(0, devices - len(self.heard)), HEARD)
        fresh["reached_us"] = NEVER_US
        self.heard = np.concatenate((self.heard, fresh))

    def step(self, device: NDArray[np.int32], end_us: Ints, append_us: Ints) -> Events:
        """Take messages in the order of the log; returns the silences they end.

        Parameters
        ----------
        device, end_us, append_us : (N,)
            Whose, the instant after the last one the message covers, when the log took it.
        """
        order = np.argsort(device, kind="stable")
        device, end_us, append_us = device[order], end_us[order], append_us[order]
        opens = np.append(True, np.diff(device) != 0)[: len(device)]
        before_us = _running_max(np.where(opens, self.heard["reached_us"][device], 0), end_us, opens, device)
        newer = end_us > before_us
        return self._newer(device[newer], end_us[newer], append_us[newer])

    def _newer(self, device: NDArray[np.int32], end_us: Ints, append_us: Ints) -> Events:
        opens = np.append(True, np.diff(device) != 0)[: len(device)]
        held = self.heard[device]
        reached_us = np.where(opens, held["reached_us"], np.roll(end_us, 1))
        log_us = np.where(opens, held["log_us"], np.roll(append_us, 1))
        known = reached_us > NEVER_US
        jump_us = np.where(known, end_us - reached_us, 0)
        wait_us = np.where(known, append_us - log_us, 0)
        silent = (wait_us > SILENT_US) | (jump_us > LONGEST_US)
        lasted_us = np.where(jump_us > LONGEST_US, LONGEST_US, wait_us)
        last = np.append(np.diff(device) != 0, True)[: len(device)]
        self.heard["reached_us"][device[last]] = end_us[last]
        self.heard["log_us"][device[last]] = append_us[last]
        self.heard["said"][device[last]] = False
        return _events(device[silent], reached_us[silent], lasted_us[silent])

    def overdue(self, log_us: int) -> Events:
        """Return the silences that have begun by this log time and were not announced; they are still open."""
        known = (self.heard["reached_us"] > NEVER_US) & ~self.heard["said"]
        device = np.flatnonzero(known & (log_us - self.heard["log_us"] > SILENT_US))
        self.heard["said"][device] = True
        held = self.heard[device]
        events = _events(device, held["reached_us"], log_us - held["log_us"])
        events["open"] = True
        return events

    def finish(self, log_us: int) -> Events:
        """Return the longest silences of devices that were not heard of again by this log time."""
        device = np.flatnonzero((self.heard["reached_us"] > NEVER_US) & (log_us - self.heard["log_us"] > LONGEST_US))
        return _events(device, self.heard["reached_us"][device], np.full(len(device), LONGEST_US))


def _running_max(known_us: Ints, end_us: Ints, opens: NDArray[np.bool_], device: NDArray[np.int32]) -> Ints:
    """Return what each device's messages had reached before each message; messages are sorted by device."""
    if not len(end_us):
        return end_us
    # Ranks instead of instants, so that one running maximum serves all devices without overflow.
    distinct, rank = np.unique(np.concatenate((end_us, known_us)), return_inverse=True)
    ends, begins = rank[: len(end_us)], rank[len(end_us) :]
    base = device.astype(np.int64) * len(distinct)
    running = np.maximum.accumulate(np.maximum(ends, np.where(opens, begins, 0)) + base) - base
    before: Ints = distinct[np.where(opens, begins, np.roll(running, 1))]
    return before


def _events(device: NDArray[Any], reached_us: Ints, lasted_us: Ints) -> Events:
    events = np.zeros(len(device), EVENT)
    lasted_us = np.minimum(lasted_us, LONGEST_US)
    events["device"], events["kind"] = device, _KIND
    events["start_us"], events["end_us"] = reached_us, reached_us + lasted_us
    events["value"], events["ticks"] = lasted_us / 1e6, 1
    return events
