"""From raw messages to window rows and events: the same functions the stream calls, over a day and its halo.

A day is computed a portion at a time: some devices, and of a large device a span of the day. A row is a function of the
samples around it alone, so portions change nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.batch.day_messages import Clocks, DayMessages
from wearables_platform.batch.sorted_partitions import sorted_partitions
from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.models.thresholds import NO_THRESHOLDS, ThresholdTimeline
from wearables_platform.partitions import day_bounds_us as day_bounds_us  # readers of a day's rows find it here
from wearables_platform.signals.windows import FEATURE_VERSION, compute_all
from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET, event_table, window_table

FEATURE_ORDER = {WINDOWS_DATASET: ("device_id", "window_start"), SPIKES_DATASET: ("device_id", "started_at", "kind")}


@dataclass(frozen=True)
class BuiltFeatures:
    """What was written of a day, and the messages it was computed from."""

    manifests: Mapping[str, Manifest]
    messages: DayMessages


def build_features(
    lake: Lake, day: str, thresholds: ThresholdTimeline = NO_THRESHOLDS, *, samples_at_once: int | None = None
) -> BuiltFeatures:
    """Compute a day's rows and events from its raw messages and those around it, and write them to the lake.

    Safe to run twice and at once: the same messages give the same bytes, in whatever portions they are computed.

    Parameters
    ----------
    samples_at_once
        How many samples are held at most, about; a portion's windows take 300 bytes of memory for each.

    Raises
    ------
    LakeConflict
        Somebody else wrote the day since this began.
    """
    versions = {"features": FEATURE_VERSION}
    with sorted_partitions(lake, day, FEATURE_ORDER, versions) as made:
        messages = DayMessages(lake, ACCELERATION, day)
        for portion in messages.portions(samples_at_once):
            clocks = messages.clocks(portion.device_ids)
            for span_us in portion.spans_us:
                windows, spikes = features_of(messages, portion.device_ids, clocks, span_us, thresholds)
                made.add(WINDOWS_DATASET, windows)
                made.add(SPIKES_DATASET, spikes)
        return BuiltFeatures(made.publish(), messages)


def features_of(
    messages: DayMessages,
    device_ids: Sequence[str],
    clocks: Clocks,
    span_us: tuple[int, int],
    thresholds: ThresholdTimeline = NO_THRESHOLDS,
) -> tuple[pa.Table, pa.Table]:
    """Compute the rows and events of some devices that start in a span of whole seconds."""
    sampled = messages.samples(device_ids, clocks, span_us)
    rows, events = compute_all(sampled.samples, limits=thresholds.limits(sampled.device_ids))
    rows = rows.take(_inside(rows.start_us, *span_us))
    events = events.take(_inside(events.start_us, *span_us))
    return window_table(rows, sampled.device_ids), event_table(events, sampled.device_ids)


def _inside(start_us: npt.NDArray[np.int64], first_us: int, end_us: int) -> npt.NDArray[np.bool_]:
    return (start_us >= first_us) & (start_us < end_us)
