"""Newest values one device at a time, for tests that say what a device shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from wearables_platform.clients.latest import POINT_DTYPE, LatestBatch, TraceChunk
from wearables_platform.clients.redis import LatestWriter


@dataclass(frozen=True)
class LatestUpdate:
    """New values of one group of one device; `trace` holds points (time_us, vm_g)."""

    device_id: str
    group: str
    guard_us: int
    sequence: int
    fields: Mapping[str, str | int | float]
    trace: Sequence[tuple[int, float]] = field(default=())

    def batch(self) -> LatestBatch:
        columns = {name: [str(value)] for name, value in self.fields.items()}
        guard_us, sequence = np.array([self.guard_us]), np.array([self.sequence])
        return LatestBatch(self.group, [self.device_id], guard_us, sequence, columns, self._chunks)

    def _chunks(self, wanted: frozenset[str] | None) -> list[TraceChunk]:
        if not self.trace or (wanted is not None and self.device_id not in wanted):
            return []
        return [TraceChunk(self.device_id, self.guard_us, np.array(list(self.trace), POINT_DTYPE))]


def write_updates(
    writer: LatestWriter, updates: Sequence[LatestUpdate], counters: Mapping[str, int] | None = None
) -> None:
    """Write updates as one flush of the stream does."""
    writer.write([update.batch() for update in updates], counters or {})
