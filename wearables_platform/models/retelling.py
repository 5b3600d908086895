"""What a new version tells otherwise of the newest windows nobody labelled: nothing to judge by, but good to know.

The gate compares versions where labels are. Of a day without labels nobody knows who is right; how much of it changes
its name, and from what to what, a person may still want to see: a large share says that they learnt other things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wearables_platform.clients.lake import Lake
from wearables_platform.models.class_predict import ClassScorer
from wearables_platform.models.labels import NO_LABEL, Label, label_windows
from wearables_platform.models.training_set import Wear, wearers
from wearables_platform.signals.windows import FEATURE_VERSION, WindowRows
from wearables_platform.wire.feature_schema import WINDOWS_DATASET, window_rows

MAX_WINDOWS: Final = 50_000
"""Fourteen hours of one watch: a share to a tenth of a point, in some seconds, however large a day is."""

SHOWN_MOVES: Final = 10


@dataclass(frozen=True)
class Retold:
    """How many windows two versions tell differently; `moves` counts "before > after", the most frequent first."""

    day: str | None
    windows: int
    changed: int
    moves: Mapping[str, int] = field(default_factory=dict)

    def as_metrics(self) -> dict[str, Any]:
        """Return it as plain values for the registry."""
        return {"day": self.day, "windows": self.windows, "changed": self.changed, "moves": dict(self.moves)}


@dataclass(frozen=True)
class Newest:
    """Windows of the newest day in the lake, sorted by (device, start), and which of them nobody labelled."""

    day: str | None
    rows: WindowRows
    unlabelled: NDArray[np.bool_]


def newest_windows(lake: Lake, wears: list[Wear], labels: list[Label], most: int = MAX_WINDOWS) -> Newest:
    """Read windows of the newest day, at most so many: whole devices, but for the last."""
    days = lake.partitions(WINDOWS_DATASET)
    pending: list[pa.Table] = []
    for table in lake.scan(WINDOWS_DATASET, days[-1:]):
        pending.append(table.filter(pc.equal(table.column("feature_version"), FEATURE_VERSION)))
        if sum(part.num_rows for part in pending) >= most:
            break
    if not sum(part.num_rows for part in pending):
        return Newest(None, WindowRows.none(), np.zeros(0, np.bool_))
    rows, device_ids = window_rows(pa.concat_tables(pending).slice(0, most))
    device_id = np.array(device_ids, dtype=np.str_)[rows.device]
    label, _ = label_windows(device_id, wearers(device_id, rows.start_us, wears), rows.start_us, labels)
    return Newest(days[-1], rows, label == NO_LABEL)


def retell(before: ClassScorer, after: ClassScorer, newest: Newest) -> Retold:
    """Tell the same windows with both versions and count where they differ; an activity only one knows differs."""
    first, second = before.tell(newest.rows).number, after.tell(newest.rows).number
    told = newest.unlabelled & (first >= 0) & (second >= 0)
    pairs = zip(np.array(before.classes)[first[told]], np.array(after.classes)[second[told]], strict=True)
    moves = Counter(f"{was} > {now}" for was, now in pairs if was != now)
    return Retold(newest.day, int(told.sum()), moves.total(), dict(moves.most_common(SHOWN_MOVES)))
