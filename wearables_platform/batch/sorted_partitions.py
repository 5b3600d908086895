"""Days of several datasets replaced together by rows that come in any order and need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa

from wearables_platform.batch.external_sort import MEMORY_BYTES, ExternalSort, external_sort
from wearables_platform.clients.lake import Lake, Manifest


@contextmanager
def sorted_partitions(
    lake: Lake, day: str, orders: Mapping[str, Sequence[str]], versions: Mapping[str, str]
) -> Iterator[SortedPartitions]:
    """Lend what replaces a day of several datasets by rows that come in any order; enter it before reading the source.

    Parameters
    ----------
    orders
        The columns a dataset is sorted by, which tell any two of its rows apart.
    versions
        What the manifests say of how the rows were made.
    """
    with ExitStack() as stack:
        memory_bytes = MEMORY_BYTES // len(orders)
        sorts = {name: stack.enter_context(external_sort(keys, memory_bytes)) for name, keys in orders.items()}
        yield SortedPartitions(lake, day, sorts, versions)


class SortedPartitions:
    """A day of several datasets that is being replaced."""

    def __init__(self, lake: Lake, day: str, sorts: Mapping[str, ExternalSort], versions: Mapping[str, str]) -> None:
        self._lake, self._sorts, self._versions = lake, sorts, versions
        self._editions = {dataset: lake.edition(dataset, day) for dataset in sorts}

    def add(self, dataset: str, table: pa.Table) -> None:
        """Take rows of a dataset."""
        if table.num_rows:
            self._sorts[dataset].add(table)

    def publish(self) -> dict[str, Manifest]:
        """Write every dataset's rows in order; the same rows give the same bytes.

        Raises
        ------
        LakeConflict
            Somebody else replaced the day since this began.
        """
        manifests = {}
        for dataset, sort in self._sorts.items():
            with self._lake.writer(self._editions[dataset]) as writer:
                for table in sort.tables():
                    writer.write(table)
                manifests[dataset] = writer.publish(versions=self._versions)
        return manifests
