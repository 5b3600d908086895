"""State saved by what changed: base and deltas together are the state itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Columnar, Columns, Delta, Ints, merged


class Notebook:
    """A sub-state with a column of each form, kept per device in the plainest way."""

    def __init__(self) -> None:
        self.level: list[float] = []
        self.notes: list[list[int]] = []
        self.texts: list[list[bytes]] = []
        self.touched: set[int] = set()

    def write(self, device: int, value: int) -> None:
        while len(self.level) <= device:
            self.touched.add(len(self.level))
            self.level.append(0.0)
            self.notes.append([])
            self.texts.append([])
        self.touched.add(device)
        self.level[device] += value
        self.notes[device] = [*self.notes[device], value][-2:]
        self.texts[device] = [] if value % 3 == 0 else [*self.texts[device], b"t" * value]

    def columns(self) -> Columns:
        return self.rows_of(np.arange(len(self.level)))

    def changed(self) -> Ints:
        return np.array(sorted(self.touched), np.int64)

    def mark_saved(self) -> None:
        self.touched.clear()

    def rows_of(self, devices: Ints) -> Columns:
        chosen = devices.tolist()
        texts = [(device, text) for device in chosen for text in self.texts[device]]
        found: Columns = {
            "level": np.array([self.level[device] for device in chosen]),
            "notes.device": np.array([d for d in chosen for _ in self.notes[d]], np.int32),
            "notes.value": np.array([n for d in chosen for n in self.notes[d]], np.int64),
        }
        if texts:
            arrays = [pa.array([d for d, _ in texts], pa.int32()), pa.array([text for _, text in texts], pa.binary())]
            found["texts"] = pa.RecordBatch.from_arrays(arrays, names=["device", "text"])
        return found

    def restore(self, columns: Columns) -> None:
        self.__init__()
        for device, level in enumerate(columns["level"].tolist()):
            self.write(device, 0)
            self.level[device] = level
            self.notes[device] = columns["notes.value"][columns["notes.device"] == device].tolist()
            self.texts[device] = []
        if "texts" in columns:
            for row in columns["texts"].to_pylist():
                self.texts[row["device"]].append(row["text"])


@given(st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), max_size=6), min_size=1, max_size=8))
@settings(max_examples=100)
def test_a_base_and_its_deltas_are_the_state(epochs: list[list[tuple[int, int]]]) -> None:
    notebook = Notebook()
    assert isinstance(notebook, Columnar)
    base, deltas = notebook.columns(), []
    for writes in epochs:
        for device, value in writes:
            notebook.write(device, value)
        devices = notebook.changed()
        deltas.append(Delta(devices, notebook.rows_of(devices)))
        notebook.mark_saved()
        again = Notebook()
        again.restore(merged(base, deltas))
        assert (again.level, again.notes, again.texts) == (notebook.level, notebook.notes, notebook.texts)
