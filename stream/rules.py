"""Rules over what a lane's topics say together: final rows, heart rates and messages in, events and rolling rows out.

The science is in `signals.device_rules`; here is what it needs of a log: whose turn it is. A minute is judged without
the other sensor only when that sensor's topic has been read as far: catching up, one topic's fetch may span hours of
the other's, and readings would be late only because of the order of reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.decode import Messages
from stream.devices import Devices
from stream.partition import Harvest, Ruled, ScoredRows, Scoring
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.models.thresholds import NO_THRESHOLDS
from wearables_platform.signals.device_rules import DeviceRules
from wearables_platform.signals.minutes import MinuteJoin, Readings
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.codec import dictionary_of
from wearables_platform.wire.heart_rates import heart_rates

# The log's clock may differ by this between two topics that are read in turn and both up to date.
LEVEL_US: Final = 5_000_000


@dataclass
class LiveRules:
    """A lane's rules; `memory` is saved with the lane's state, and counts devices as it does."""

    memory: DeviceRules
    devices: Devices
    scoring: Scoring | None = None

    def step(
        self, harvests: Sequence[Harvest], clocks: Mapping[str, int], partition: int, read: Mapping[str, int]
    ) -> Harvest | None:
        """Take the harvests of one step; `clocks` and `read` say how far each topic was read, in time and offsets."""
        rows = final_rows(harvests, self.devices)
        readings = readings_of([h.messages for h in harvests if h.topic == VITALS.topic], self.devices)
        heard = [h.messages for h in harvests if h.topic == ACCELERATION.topic and h.messages is not None]
        self.memory.grow(len(self.devices))
        events = [self._heard(messages) for messages in heard if len(messages)]
        events.append(self.memory.listen(clocks[ACCELERATION.topic]))
        let_motion_wait(self.memory.join, clocks)
        thresholds = self.scoring.thresholds if self.scoring is not None else NO_THRESHOLDS
        self.memory.minutes.limits = thresholds.limits(self.devices.names)
        found = self.memory.step(rows, readings)
        found = replace(found, events=np.concatenate((found.events, *events)))
        if not len(found):
            return None
        judged_by = thresholds.versions(found.events["start_us"].astype(np.int64))
        ruled = Ruled(self.devices.names, found, clocks[ACCELERATION.topic], partition, read, judged_by)
        return Harvest(ACCELERATION.topic, -1, None, ruled=ruled)

    def _heard(self, messages: Messages) -> npt.NDArray[np.void]:
        device = numbers_of(messages, self.devices)
        self.memory.grow(len(self.devices))
        return self.memory.hear(device.astype(np.int32), messages.end_us, messages.append_us)


def let_motion_wait(join: MinuteJoin, clocks: Mapping[str, int]) -> None:
    """Let a sensor be judged without the other only where the other's topic has been read as far."""
    ahead_us = clocks[ACCELERATION.topic] - clocks[VITALS.topic]
    join.motion_may_go_on = ahead_us <= LEVEL_US
    join.heart_may_go_on = -ahead_us <= LEVEL_US


def final_rows(harvests: Iterable[Harvest], devices: Devices) -> WindowRows:
    """Return the final one-second rows of a step, with the lane's device numbers, sorted by (device, time)."""
    parts = [_numbered(made.derived.windows, made.derived.device_ids, devices) for made in _finals(harvests)]
    rows = WindowRows.concat(parts)
    if (np.diff(rows.device) < 0).any():
        rows = rows.take(np.lexsort((rows.start_us, rows.device)))
    return rows


def _finals(harvests: Iterable[Harvest]) -> list[ScoredRows]:
    made = [one for harvest in harvests for one in harvest.rows]
    return [one for one in made if not one.derived.provisional and len(one.derived.windows)]


def _numbered(rows: WindowRows, device_ids: list[str], devices: Devices) -> WindowRows:
    return WindowRows(devices.numbers(device_ids)[rows.device].astype(np.int32), rows.start_us, rows.features)


def readings_of(messages: Iterable[Messages | None], devices: Devices) -> Readings:
    """Return the heart rates in messages, but for those whose time is impossible."""
    parts = [_readings(part, devices) for part in messages if part is not None and len(part)]
    return Readings.concat(parts)


def _readings(messages: Messages, devices: Devices) -> Readings:
    return heart_rates(messages.rows.column("heart_rate"), numbers_of(messages, devices), messages.append_us)


def numbers_of(messages: Messages, devices: Devices) -> npt.NDArray[np.int64]:
    """Return the lane's device number of each message."""
    column = messages.rows.column("device_id")
    codes, names = dictionary_of(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return devices.numbers(names)[codes]
