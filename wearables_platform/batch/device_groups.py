"""Devices in groups whose rows fit in memory together: what a pass over a day holds, however large the day is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.clients.parquet import TimeRange

# A device has at most 86,400 windows a day; a row that is compared with the database weighs about 2 kB in memory.
ROWS_AT_ONCE: Final = 100_000


def device_groups(weights: Mapping[str, int], limit: int) -> list[list[str]]:
    """Return the devices, ascending, in groups that weigh at most `limit`; one that weighs more is a group of its own.

    >>> device_groups({"c": 1, "a": 2, "b": 3, "d": 9}, limit=5)
    [['a', 'b'], ['c'], ['d']]
    """
    groups: list[list[str]] = []
    held = limit + 1
    for device_id, weight in sorted(weights.items()):
        if held + weight > limit:
            groups.append([])
            held = 0
        groups[-1].append(device_id)
        held += weight
    return groups


def count_devices(counts: Counter[str], devices: pa.ChunkedArray) -> None:
    """Add how often each device occurs."""
    for entry in pc.value_counts(devices).to_pylist():
        counts[entry["values"]] += entry["counts"]


def rows_of(table: pa.Table, device_ids: Sequence[str]) -> pa.Table:
    """Return the rows of these devices."""
    return table.filter(pc.is_in(table.column("device_id"), pa.array(device_ids, pa.string())))


@dataclass(frozen=True)
class DayRows:
    """The rows of one manifest, read by device; a manifest that is None holds none."""

    lake: Lake
    manifest: Manifest | None
    schema: pa.Schema

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Return how many rows each device has."""
        counts: Counter[str] = Counter()
        for table in self._scan(["device_id"], None):
            count_devices(counts, table.column("device_id"))
        return counts

    def of(self, device_ids: Sequence[str], span_us: TimeRange | None = None) -> pa.Table:
        """Return the rows of these devices, in the order of the lake; with a span, maybe without others."""
        if self.manifest is not None and self.manifest.rows <= ROWS_AT_ONCE:
            return rows_of(self._whole, device_ids)
        tables = (rows_of(table, device_ids) for table in self._scan(None, device_ids, span_us))
        return pa.concat_tables([self.schema.empty_table(), *tables])

    @cached_property
    def _whole(self) -> pa.Table:
        return pa.concat_tables([self.schema.empty_table(), *self._scan(None, None)])

    def _scan(
        self, columns: Sequence[str] | None, device_ids: Sequence[str] | None, span_us: TimeRange | None = None
    ) -> Iterator[pa.Table]:
        for file in self.manifest.files if self.manifest is not None else ():
            if file.touches(span_us):
                yield from self.lake.scan_file(file, columns=columns, device_ids=device_ids, time_range_us=span_us)
