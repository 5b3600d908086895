"""The newest believable value of each channel of the declared sensor types, for whoever wants to know now.

Readings of types nobody declared are not shown, so that what a device calls its sensors makes no keys in Redis; the
archive keeps them, and batch names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.decode import Messages
from stream.latest import _newest, _sequence, guard_us
from wearables_platform.clients.latest import LatestBatch, sensor_group
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.domain.time_policy import impossible_times
from wearables_platform.wire.codec import dictionary_of


def latest_of_sensors(
    messages: Messages, fresh: npt.NDArray[np.bool_], sensor_types: Sequence[SensorType]
) -> list[LatestBatch]:
    """Return the newest value per device and channel in the vitals messages of a fetch that are no duplicates."""
    lists = messages.rows.column("readings")
    readings, of = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
    if not len(readings):
        return []
    time_us = readings.field("time_us").to_numpy().astype(np.int64)
    append_us = messages.append_us[of]
    possible = fresh[of] & ~impossible_times(time_us, append_us)
    device, device_ids = dictionary_of(messages.rows.column("device_id"))
    device, sequence, guard = device[of], _sequence(messages.rows)[of], guard_us(time_us, append_us)
    batches = []
    for group, unit, believed in _believed(readings, sensor_types):
        chosen = np.flatnonzero(possible & believed)
        newest = chosen[_newest(device[chosen], guard[chosen], sequence[chosen])]
        if not len(newest):
            continue
        fields: dict[str, Any] = {
            group: readings.field("value").take(pa.array(newest)),
            f"{group}:time_us": time_us[newest],
            f"{group}:unit": [unit] * len(newest),
        }
        ids = [device_ids[code] for code in device[newest].tolist()]
        batches.append(LatestBatch(group, ids, guard[newest], sequence[newest], fields))
    return batches


def _believed(
    readings: pa.StructArray, sensor_types: Sequence[SensorType]
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Yield per declared channel its group, its unit, and which readings are of it and in range; false for NaN."""
    value: npt.NDArray[np.float64] = readings.field("value").to_numpy()
    for each in sensor_types:
        in_range = (value >= each.low) & (value <= each.high) & _is_one_of(readings.field("sensor"), [each.name])
        for place, channel in enumerate(each.channels if in_range.any() else ()):
            names = [channel] if place else [channel, ""]
            yield sensor_group(each.name, channel), each.unit, in_range & _is_one_of(readings.field("channel"), names)


def _is_one_of(texts: pa.Array, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(texts, pa.array(names, pa.string())).to_numpy(zero_copy_only=False)
    return found
