"""Collect training sets from the lake: the windows of some days, what is known of them, and who wore what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.lake import Lake
from wearables_platform.models.class_set import ClassSet, assemble_classes
from wearables_platform.models.labels import Label
from wearables_platform.models.training_set import TrainingSet, Wear, assemble
from wearables_platform.signals.windows import FEATURE_VERSION, WindowRows
from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET, window_rows


def gather(lake: Lake, days: Sequence[str], wears: Sequence[Wear]) -> TrainingSet:
    """Return the windows of `days` somebody known wore, with those marked in which a spike event starts.

    Events come from a rule over the samples, never from a model's own alarms.
    """
    rows, device_ids = windows_of(lake, days)
    spikes = lake.read_table(SPIKES_DATASET, sorted(days), columns=["device_id", "window_start"])
    return assemble(rows, device_ids, wears, _starts_by_device(spikes), FEATURE_VERSION)


def gather_classes(lake: Lake, days: Sequence[str], wears: Sequence[Wear], labels: Sequence[Label]) -> ClassSet:
    """Return the windows of `days` that somebody known wore and somebody said something of."""
    rows, device_ids = windows_of(lake, days)
    return assemble_classes(rows, device_ids, wears, labels, FEATURE_VERSION)


def windows_of(lake: Lake, days: Sequence[str]) -> tuple[WindowRows, list[str]]:
    """Read the windows of some days, sorted by (device, start), and the devices they index.

    Rows of another feature version are left out: they are recomputed before a model sees them.
    """
    table = lake.read_table(WINDOWS_DATASET, sorted(days))
    if table is not None:
        table = table.filter(pc.equal(table.column("feature_version"), FEATURE_VERSION))
    if table is None or not table.num_rows:
        return WindowRows.none(), []
    return window_rows(table.sort_by([("device_id", "ascending"), ("window_start", "ascending")]))


def _starts_by_device(spikes: pa.Table | None) -> dict[str, list[int]]:
    if spikes is None:
        return {}
    device_id = np.asarray(spikes.column("device_id").to_pylist(), dtype=np.str_)
    start_us = spikes.column("window_start").cast(pa.int64()).to_numpy()
    return {str(device): start_us[device_id == device].tolist() for device in np.unique(device_id)}
