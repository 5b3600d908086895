"""Removing data files that no manifest lists any more, once nobody can still be reading them.

Why this can never take a file a manifest lists, now or later:

- A file is a candidate only if its name's generation is not above the generation of its partition's manifest. A writer
  gives new files the generation after the manifest it saw, so whoever could still publish a candidate saw an older
  manifest, and its conditional put fails.
- What a later manifest takes over from an earlier one is listed by that earlier one, so it is no candidate.

Readers hold lists of files. A file is therefore only noted when it is first found unlisted, and removed by a later run,
at least `GRACE` after that: no clock of a writer or of the store is trusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from wearables_platform.clients.lake import Lake
from wearables_platform.clients.manifest import generation_of, partition_folder
from wearables_platform.domain.time_policy import to_us
from wearables_platform.wire.lake_schemas import DATASETS

# The longest a reader may work with a list of files: a month's backfill takes minutes, an analyst's query hours.
GRACE: Final = timedelta(hours=24)
NOTES: Final = "housekeeping/unlisted.json"

Sizes = dict[str, int]


@dataclass(frozen=True)
class Tidied:
    """What a run found and did.

    Attributes
    ----------
    listed
        Data files that manifests list.
    waiting
        Files without a manifest that are still within their grace, and their sizes.
    removed
        Files that were removed, and their sizes.
    unfinished
        Uploads and temporary files of killed writers that were removed.
    """

    listed: int
    waiting: Sizes
    removed: Sizes
    unfinished: int


def tidy(lake: Lake, at: datetime, grace: timedelta = GRACE) -> Tidied:
    """Note files that are no longer listed, remove those noted at least `grace` before `at`.

    Two runs at once are safe, a run that dies is made up for by the next. A `LakeConflict` means that another run
    noted something first.
    """
    found = lake.objects.get(NOTES)
    noted: Mapping[str, int] = json.loads(found[0]) if found else {}
    listed, unlisted = 0, Sizes()
    for dataset in DATASETS:
        for partition in lake.partitions(dataset):
            count, sizes = _unlisted(lake, dataset, partition)
            listed += count
            unlisted |= sizes
    now_us = to_us(at)
    since = {path: min(noted.get(path, now_us), now_us) for path in unlisted}
    due = {path for path, noted_us in since.items() if now_us - noted_us >= grace // timedelta(microseconds=1)}
    for path in sorted(due):
        lake.objects.delete(path)
    waiting = {path: noted_us for path, noted_us in sorted(since.items()) if path not in due}
    if waiting != noted:
        lake.objects.put_if(NOTES, json.dumps(waiting, indent=1).encode(), found[1] if found else None)
    return Tidied(
        listed,
        {path: unlisted[path] for path in waiting},
        {path: unlisted[path] for path in sorted(due)},
        lake.objects.delete_unfinished(at - grace),
    )


def _unlisted(lake: Lake, dataset: str, partition: str) -> tuple[int, Sizes]:
    """Return how many files a partition's manifest lists, and the files that no manifest can ever list again."""
    folder = partition_folder(dataset, partition)
    sizes = lake.objects.sizes(folder)  # before the manifest: a file that appears in between is not looked at
    manifest = lake.manifest(dataset, partition)
    if manifest is None:
        return 0, {}
    listed = {file.path for file in manifest.files}
    files = _data_files(folder, sizes)
    return len(listed), {
        path: size for path, size in files if path not in listed and generation_of(path) <= manifest.generation
    }


def _data_files(folder: str, sizes: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    return ((f"{folder}/{name}", size) for name, size in sizes.items() if name.endswith(".parquet"))
