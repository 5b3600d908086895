"""Sorting more rows than fit in memory: sorted runs on disk, merged a piece of each at a time.

What comes out depends on the rows alone, not on the portions or the order they came in, as long as the keys tell any
two rows apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

# Held before a run goes to disk; sorting takes as much again.
MEMORY_BYTES: Final = 48_000_000
# Of each run in memory while merging, and how many runs are merged at once.
PIECE_BYTES: Final = 1_000_000
RUNS_AT_ONCE: Final = 48

Row = tuple[Any, ...]


@contextmanager
def external_sort(keys: Sequence[str], memory_bytes: int | None = None) -> Iterator[ExternalSort]:
    """Lend a sort by `keys` that holds `memory_bytes` of rows before it writes; its files are gone at the end."""
    with TemporaryDirectory(prefix="sort-") as directory:
        yield ExternalSort(keys, Path(directory), memory_bytes or MEMORY_BYTES)


class ExternalSort:
    """Takes tables of one schema in any order and gives them back sorted."""

    def __init__(self, keys: Sequence[str], directory: Path, memory_bytes: int) -> None:
        self._keys, self._directory, self._limit = list(keys), directory, memory_bytes
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._runs: list[Path] = []
        self._numbers = count()

    @property
    def runs(self) -> int:
        """Return how many runs went to disk so far."""
        return len(self._runs)

    def add(self, table: pa.Table) -> None:
        """Take rows."""
        self._held.append(table)
        self._bytes += table.nbytes
        if self._bytes >= self._limit:
            self._runs.append(self._spill(iter([self._sorted_rows()])))

    def tables(self) -> Iterator[pa.Table]:
        """Yield all rows in order, in tables of any size; call once."""
        if not self._runs:
            if self._held:
                yield self._sorted_rows()
            return
        if self._held:
            self._runs.append(self._spill(iter([self._sorted_rows()])))
        while len(self._runs) > RUNS_AT_ONCE:
            first, self._runs = self._runs[:RUNS_AT_ONCE], self._runs[RUNS_AT_ONCE:]
            self._runs.append(self._spill(self._merged(first)))
            for path in first:
                path.unlink()
        yield from self._merged(self._runs)

    def _sorted_rows(self) -> pa.Table:
        held, self._held, self._bytes = pa.concat_tables(self._held), [], 0
        return self._sorted(held)

    def _sorted(self, table: pa.Table) -> pa.Table:
        return table.take(pc.sort_indices(table, sort_keys=[(key, "ascending") for key in self._keys]))

    def _spill(self, tables: Iterator[pa.Table]) -> Path:
        path = self._directory / f"{next(self._numbers)}.arrow"
        first = next(tables)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
            _write(writer, first)
            for table in tables:
                _write(writer, table)
        return path

    def _merged(self, paths: Sequence[Path]) -> Iterator[pa.Table]:
        runs = [_Run(path, self._keys) for path in paths]
        while runs := [run for run in runs if run.fill()]:
            # Up to the smallest of the pieces' last rows nothing can come from beyond any piece.
            bound = min(run.last for run in runs)
            parts = [part for run in runs if (part := run.take_until(bound)).num_rows]
            yield parts[0] if len(parts) == 1 else self._sorted(pa.concat_tables(parts))


class _Run:
    """A sorted run on disk and the piece of it that is in memory."""

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self._file = pa.OSFile(str(path), "rb")
        self._reader = pa.ipc.open_file(self._file)
        self._keys, self._next = keys, 0
        self._piece: pa.Table | None = None
        self.last: Row = ()

    def fill(self) -> bool:
        """Read the next piece if none is left; returns whether there are rows."""
        if self._piece is not None and self._piece.num_rows:
            return True
        if self._next == self._reader.num_record_batches:
            self._piece = None
            self._file.close()
            return False
        self._piece = pa.Table.from_batches([self._reader.get_batch(self._next)])
        self._next += 1
        self.last = self._row(self._piece.num_rows - 1)
        return True

    def take_until(self, bound: Row) -> pa.Table:
        """Take the rows up to and including `bound`."""
        assert self._piece is not None
        low, high = 0, self._piece.num_rows
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._row(middle) <= bound else (low, middle)
        taken, self._piece = self._piece.slice(0, low), self._piece.slice(low)
        return taken

    def _row(self, place: int) -> Row:
        assert self._piece is not None
        return tuple(self._piece.column(key)[place].as_py() for key in self._keys)


def _write(writer: pa.ipc.RecordBatchFileWriter, table: pa.Table) -> None:
    rows = max(1, PIECE_BYTES * table.num_rows // max(1, table.nbytes))
    for batch in table.combine_chunks().to_batches(max_chunksize=rows):
        writer.write_batch(batch)
