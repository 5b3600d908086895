"""Zoom levels of a day's raw acceleration, in the lake beside it; and cells read back.

A zoom partition covers exactly the messages of the raw partition of its day: a message that runs past midnight has
cells in the next day's hours but in this day's partition. Cells of neighbouring partitions add up exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.external_sort import ExternalSort, external_sort
from wearables_platform.clients.lake import Lake, Manifest, PartitionWriter
from wearables_platform.signals.zoom import WIDTHS_US, Cells, cells_of, coarser, stored_widths
from wearables_platform.wire.codec import accel_values_g, dictionary_of
from wearables_platform.wire.lake_schemas import ACCELERATION_DATASET, ZOOM_DATASET

ZOOM_VERSION: Final = "1"
KEYS: Final = ("width_us", "device_id", "cell_start_us")
SAMPLE_COLUMNS: Final = ("device_id", "start_time_us", "end_time_us", "rate_hz", "encoding", "scale_g", "samples")
_AXES: Final = "xyz"
Ints = npt.NDArray[np.int64]


def build_zoom(lake: Lake, day: str) -> Manifest | None:
    """Write the zoom levels of a day's raw partition, in bounded memory; None where the day was never exported."""
    edition = lake.edition(ZOOM_DATASET, day)
    raw = lake.manifest(ACCELERATION_DATASET, day)
    if raw is None:
        return None
    finest = finest_widths(lake, raw)
    with external_sort(KEYS) as sort:
        for file in raw.files:
            for rows in lake.scan_file(file, columns=SAMPLE_COLUMNS):
                _add_levels(sort, rows, finest)
        with lake.writer(edition) as writer:
            _write(writer, sort.tables(), finest)
            return writer.publish({"raw": content_of(raw)}, {"zoom": ZOOM_VERSION})


def faults_of_levels(lake: Lake, day: str) -> tuple[int, list[str]]:
    """Return how many samples a day's raw partition has, and what is wrong with its levels, a line each."""
    raw, zoom = lake.manifest(ACCELERATION_DATASET, day), lake.manifest(ZOOM_DATASET, day)
    if raw is None:
        return 0, []
    if zoom is None or zoom.cut["raw"] != content_of(raw):
        return 0, [f"{day}: the levels are not those of the raw partition"]
    sent: Counter[str] = Counter()
    for rows in lake.scan(
        ACCELERATION_DATASET, [day], columns=["device_id", "start_time_us", "end_time_us", "rate_hz"]
    ):
        span_us = pc.subtract(rows.column("end_time_us"), rows.column("start_time_us"))
        count = pc.round(pc.divide(pc.multiply(span_us, rows.column("rate_hz")), 1e6))
        _add_up(sent, rows.column("device_id"), count)
    shown: dict[int | None, Counter[str]] = {}
    for file in zoom.files:
        for cells in lake.scan_file(file, columns=["device_id", "n"]):
            _add_up(shown.setdefault(file.width_us, Counter()), cells.column("device_id"), cells.column("n"))
    widest = shown.get(WIDTHS_US[-1], Counter())
    # Samples that are not finite are in no cell, and whole messages may be of such: fewer is no fault, more is.
    faults = [
        f"{day}: {device} sent {sent[device]} samples, its levels hold {n}"
        for device, n in widest.items()
        if n > sent[device]
    ]
    for width_us, counts in shown.items():
        wrong = [device for device, n in counts.items() if n != widest[device]]
        faults += [f"{day}: {device} has another number of samples at {width_us} us" for device in wrong]
    return sent.total(), sorted(faults)


def _add_up(totals: Counter[str], devices: pa.ChunkedArray, counts: pa.ChunkedArray) -> None:
    found = pa.table({"device": devices, "count": counts}).group_by("device").aggregate([("count", "sum")])
    for device, count in zip(found.column("device").to_pylist(), found.column("count_sum").to_pylist(), strict=True):
        totals[device] += int(count)


def content_of(raw: Manifest) -> list[str]:
    """Return what names the content of a raw partition: levels made of other content are out of date."""
    return [file.sha256 for file in raw.files]


def finest_widths(lake: Lake, raw: Manifest) -> dict[str, int]:
    """Return each device's narrowest level: by the highest rate it used that day."""
    fastest: dict[str, float] = {}
    for file in raw.files:
        for rows in lake.scan_file(file, columns=["device_id", "rate_hz"]):
            found = rows.group_by("device_id").aggregate([("rate_hz", "max")])
            for device, rate_hz in zip(*(found.column(i).to_pylist() for i in range(2)), strict=True):
                fastest[device] = max(rate_hz, fastest.get(device, rate_hz))
    return {device: stored_widths(rate_hz)[0] for device, rate_hz in fastest.items()}


def samples_of(
    rows: pa.Table,
) -> tuple[npt.NDArray[np.int64], list[str], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return (S,) device codes, their ids, (S,) times and (S, 3) g of raw messages, as the device stamped them."""
    batch = rows.combine_chunks().to_batches()[0]
    accel_g, counts = accel_values_g(batch)
    device, ids = dictionary_of(batch.column("device_id"))
    within = np.arange(len(accel_g)) - np.repeat(np.cumsum(counts) - counts, counts)
    step_us = within * 1e6 / np.repeat(batch.column("rate_hz").to_numpy(), counts)
    time_us = np.repeat(batch.column("start_time_us").to_numpy(), counts) + np.rint(step_us).astype(np.int64)
    return np.repeat(device, counts), ids, time_us, accel_g


def _add_levels(sort: ExternalSort, rows: pa.Table, finest: Mapping[str, int]) -> None:
    if not rows.num_rows:
        return
    device, ids, time_us, accel_g = samples_of(rows)
    narrowest = np.array([finest[name] for name in ids])
    cells: Cells | None = None
    for width_us in WIDTHS_US:
        # Devices join at their narrowest level; those that joined before go on from their finer cells.
        joins = (narrowest == width_us)[device]
        parts = [] if cells is None else [coarser(cells, width_us)]
        if joins.any():
            parts.append(cells_of(device[joins], time_us[joins], accel_g[joins], width_us))
        if parts:
            cells = coarser(Cells.concat(parts), width_us)
            sort.add(_table(cells, ids, width_us))


def _write(writer: PartitionWriter, tables: Iterator[pa.Table], finest: Mapping[str, int]) -> None:
    present = -1
    for width_us, table in _whole_cells(tables):
        if width_us != present:
            writer.begin_file(width_us=width_us)
            present = width_us
        levels = [finest[device] for device in table.column("device_id").to_pylist()]
        writer.write(table.append_column("finest_us", pa.array(levels, pa.int64())))


def _whole_cells(tables: Iterator[pa.Table]) -> Iterator[tuple[int, pa.Table]]:
    """Yield sorted cells by width, each cell once: one that several row groups share came in parts."""
    held: pa.Table | None = None
    for table in chain(tables, [None]):
        parts = [part for part in (held, table) if part is not None]
        if not parts:
            return
        joined = pa.concat_tables(parts)
        # What follows may hold more of the last cell.
        end = joined.num_rows if table is None else _begin_of_last(joined)
        held = joined.slice(end)
        for width_us in pc.unique(joined.column("width_us").slice(0, end)).to_pylist():
            level = joined.slice(0, end).filter(pc.equal(joined.column("width_us").slice(0, end), width_us))
            cells, ids = read_cells(level)
            yield width_us, _table(coarser(cells, width_us), ids, width_us)


def _begin_of_last(cells: pa.Table) -> int:
    """Return where the rows of the last cell begin."""
    last = cells.slice(cells.num_rows - 1)
    same = [pc.equal(cells.column(key), last.column(key)[0]) for key in KEYS]
    return int(cells.num_rows - pc.sum(pc.and_(pc.and_(same[0], same[1]), same[2])).as_py())


def _table(cells: Cells, ids: Sequence[str], width_us: int) -> pa.Table:
    columns = {
        "width_us": pa.array(np.full(len(cells), width_us, np.int64)),
        "device_id": pa.array(ids, pa.string()).take(pa.array(cells.device)),
        "cell_start_us": pa.array(cells.start_us),
        "n": pa.array(cells.n),
    }
    for prefix, suffix, values in (("min", "_g", cells.low_g), ("max", "_g", cells.high_g), ("sum", "", cells.total)):
        columns |= {f"{prefix}_{axis}{suffix}": pa.array(values[:, i].copy()) for i, axis in enumerate(_AXES)}
    return pa.table(columns)


def read_cells(table: pa.Table) -> tuple[Cells, list[str]]:
    """Return stored cells of one width and the device ids they index, ascending."""
    encoded = pc.dictionary_encode(table.column("device_id").combine_chunks())
    ids: list[str] = encoded.dictionary.to_pylist()
    place = np.argsort(np.argsort(np.array(ids, dtype=object))).astype(np.int64)
    device = place[encoded.indices.to_numpy()] if ids else np.empty(0, np.int64)

    def axes(prefix: str, suffix: str) -> npt.NDArray[np.generic]:
        return np.stack([table.column(f"{prefix}_{axis}{suffix}").to_numpy() for axis in _AXES], axis=1)

    cells = Cells(
        device,
        table.column("cell_start_us").to_numpy(),
        table.column("n").to_numpy(),
        axes("min", "_g").astype(np.float32, copy=False),
        axes("max", "_g").astype(np.float32, copy=False),
        axes("sum", "").astype(np.int64, copy=False),
    )
    return cells, sorted(ids)
