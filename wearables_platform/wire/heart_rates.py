"""From decoded vitals messages to heart rates: the same readings for the stream's rules and for batch's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.domain.time_policy import impossible_times
from wearables_platform.signals.minutes import Readings

Ints = npt.NDArray[np.int64]


def heart_rates(lists: pa.ListArray, device: npt.NDArray[np.integer], append_us: Ints) -> Readings:
    """Return every heart rate whose time is possible.

    Parameters
    ----------
    lists
        Column ``heart_rate`` of R messages: lists of (time_us, bpm).
    device : (R,) int
        Number of each message's device.
    append_us : (R,) int64
        When the log took each message.
    """
    readings, of = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
    if not len(readings):
        return Readings.none()
    time_us = readings.field("time_us").to_numpy().astype(np.int64)
    possible = ~impossible_times(time_us, append_us[of])
    return Readings.of(device[of].astype(np.int32), time_us, readings.field("bpm").to_numpy(), of).take(possible)
