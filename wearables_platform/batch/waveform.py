"""A device's acceleration over any span in at most so many points, from the coarsest level that shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.zoom import SAMPLE_COLUMNS, content_of, read_cells, samples_of
from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.domain.time_policy import US_PER_DAY, event_day
from wearables_platform.signals.zoom import WIDTHS_US, Cells, cells_of, coarser, point_width_us
from wearables_platform.wire.lake_schemas import ACCELERATION_DATASET, ZOOM_DATASET

MAX_POINTS = 100_000


@dataclass(frozen=True)
class Waveform:
    """P points of one device, in order of time; there is none where there was no sample.

    Attributes
    ----------
    width_us
        What a point stands for: a multiple of this since the epoch and what follows; 0 where points are samples.
    level_us
        The level the points were read from; 0 where they were made of the samples.
    start_us : (P,) int64
        Begin of each point.
    n : (P,) int64
        Samples in it.
    low_g, mean_g, high_g : (P, 3)
        Least, mean and greatest sample per axis, in g.
    """

    width_us: int
    level_us: int
    start_us: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]
    low_g: npt.NDArray[np.float32]
    mean_g: npt.NDArray[np.float64]
    high_g: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.start_us)


def waveform(lake: Lake, device_id: str, first_us: int, end_us: int, max_points: int = 2_000) -> Waveform:
    """Return what a device measured in [first, end), widened to whole points where points are cells.

    Where there are no more samples than points, the points are the samples. Days without levels, or whose levels were
    made before the last late message came, are read from their samples: the points are the same, only slower.

    Raises
    ------
    ValueError
        The span is empty, or `max_points` is not from 1 to `MAX_POINTS`.
    """
    if end_us <= first_us or not 1 <= max_points <= MAX_POINTS:
        msg = f"a span that ends after it begins and 1 to {MAX_POINTS} points, not [{first_us}, {end_us}), {max_points}"
        raise ValueError(msg)
    partitions = _partitions(lake, first_us, end_us)
    grain_us = max((width for width in WIDTHS_US if width * max_points <= end_us - first_us), default=1)
    width_us = point_width_us(first_us, end_us, max_points, grain_us)
    level_us = grain_us if _kept(lake, partitions, device_id, (first_us, end_us), grain_us, max_points) else 0
    span = (first_us // width_us * width_us, -(-end_us // width_us) * width_us)
    parts: list[Cells] = []
    samples = _Few(max_points)
    for raw, zoom in partitions:
        if level_us and zoom is not None:
            parts.append(coarser(_cells(lake, zoom, device_id, level_us, span), width_us))
            continue
        for time_us, accel_g in _samples(lake, raw, device_id, span):
            samples.add(time_us, accel_g, (first_us, end_us))
            parts.append(cells_of(np.zeros(len(time_us)), time_us, accel_g, width_us))
    if not level_us and samples.kept:
        return samples.waveform()
    cells = coarser(Cells.concat(parts), width_us)
    return Waveform(width_us, level_us, cells.start_us, cells.n, cells.low_g, cells.mean_g, cells.high_g)


def lake_reach_us(lake: Lake, device_id: str, spans: Sequence[tuple[int, int]]) -> int | None:
    """Return how far the lake reaches with a device in spans, which rise: where its newest sample there ends.

    None where it has none in any. Only messages that touch a span count, so what lies outside changes nothing.
    """
    columns = ["device_id", "start_time_us", "end_time_us"]
    for span in reversed(spans):
        ends = [
            min(span[1], int(pc.max(mine.column("end_time_us")).cast(pa.int64()).as_py()))
            for raw, _ in _partitions(lake, *span)
            for mine in _messages(lake, raw, device_id, span, columns)
        ]
        if ends:
            return max(ends)
    return None


def _partitions(lake: Lake, first_us: int, end_us: int) -> list[tuple[Manifest, Manifest | None]]:
    """Return the raw manifests of the days that may hold the span, and those of their levels that are up to date."""
    # A message belongs to the day it begins in; none is longer than half a day.
    day, last = (date.fromisoformat(event_day(us)) for us in (first_us - US_PER_DAY, end_us - 1))
    found = []
    while day <= last:
        raw = lake.manifest(ACCELERATION_DATASET, day.isoformat())
        if raw is not None and raw.files:
            zoom = lake.manifest(ZOOM_DATASET, day.isoformat())
            found.append((raw, zoom if zoom is not None and zoom.cut["raw"] == content_of(raw) else None))
        day += timedelta(days=1)
    return found


def _kept(
    lake: Lake,
    partitions: list[tuple[Manifest, Manifest | None]],
    device_id: str,
    span: tuple[int, int],
    width_us: int,
    max_points: int,
) -> bool:
    """Return whether a level is kept for the device, and there are more samples than points."""
    if width_us not in WIDTHS_US:
        return False
    # The widest level is short, and says which is the narrowest that is kept.
    kept = [zoom for _, zoom in partitions if zoom is not None]
    widest = [
        table
        for zoom in kept
        for table in _level(lake, zoom, device_id, WIDTHS_US[-1], span, ["device_id", "finest_us"])
        if table.num_rows
    ]
    if not widest or any(pc.max(table.column("finest_us")).as_py() > width_us for table in widest):
        return False
    # Only cells within the span count: what a device measured before and after must not decide how it is drawn.
    within = (pc.field("cell_start_us") >= span[0]) & (pc.field("cell_start_us") <= span[1] - width_us)
    counts = [
        pc.sum(table.filter(within).column("n")).as_py() or 0
        for zoom in kept
        for table in _level(lake, zoom, device_id, width_us, span, ["device_id", "cell_start_us", "n"])
    ]
    return sum(counts) > max_points


def _cells(lake: Lake, zoom: Manifest, device_id: str, width_us: int, span: tuple[int, int]) -> Cells:
    tables = list(_level(lake, zoom, device_id, width_us, span))
    if not tables:
        return Cells.concat([])
    cells, _ = read_cells(pa.concat_tables(tables))
    return cells.take((cells.start_us >= span[0]) & (cells.start_us < span[1]))


def _level(
    lake: Lake,
    zoom: Manifest,
    device_id: str,
    width_us: int,
    span: tuple[int, int],
    columns: list[str] | None = None,
) -> Iterator[pa.Table]:
    wanted = (span[0] - width_us, span[1])  # a cell is known by its begin
    for file in zoom.files:
        if file.width_us == width_us and file.touches(wanted):
            for table in lake.scan_file(file, columns=columns, time_range_us=wanted, device_ids=[device_id]):
                yield table.filter(pc.equal(table.column("device_id"), device_id))


def _samples(
    lake: Lake, raw: Manifest, device_id: str, span: tuple[int, int]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    for mine in _messages(lake, raw, device_id, span, SAMPLE_COLUMNS):
        _, _, time_us, accel_g = samples_of(mine)
        inside = (time_us >= span[0]) & (time_us < span[1])
        yield time_us[inside], accel_g[inside]


def _messages(
    lake: Lake, raw: Manifest, device_id: str, span: tuple[int, int], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """Yield a device's messages that touch a span, never an empty table."""
    for file in raw.files:
        if not (file.may_hold(device_id) and file.touches(span)):
            continue
        for rows in lake.scan_file(file, columns=columns, time_range_us=span, device_ids=[device_id]):
            mine = rows.filter(
                (pc.field("device_id") == device_id)
                & (pc.field("start_time_us") < span[1])
                & (pc.field("end_time_us") > span[0])
            )
            if mine.num_rows:
                yield mine


class _Few:
    """Keeps samples as long as they are few enough to be points themselves."""

    def __init__(self, limit: int) -> None:
        self._limit, self._count = limit, 0
        self._parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]] = []

    @property
    def kept(self) -> bool:
        """Return whether there were samples, and not too many."""
        return 0 < self._count <= self._limit

    def add(self, time_us: npt.NDArray[np.int64], accel_g: npt.NDArray[np.float32], span: tuple[int, int]) -> None:
        """Take samples; those outside the span asked for are no points."""
        inside = (time_us >= span[0]) & (time_us < span[1]) & np.isfinite(accel_g).all(axis=1)
        self._count += int(inside.sum())
        if self._count <= self._limit:
            self._parts.append((time_us[inside], accel_g[inside]))
        else:
            self._parts.clear()

    def waveform(self) -> Waveform:
        """Return the samples as points."""
        time_us = np.concatenate([part[0] for part in self._parts])
        accel_g = np.concatenate([part[1] for part in self._parts])
        order = np.argsort(time_us, kind="stable")
        time_us, accel_g = time_us[order], accel_g[order]
        ones = np.ones(len(time_us), np.int64)
        return Waveform(0, 0, time_us, ones, accel_g, accel_g.astype(np.float64), accel_g)
