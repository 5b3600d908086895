"""How often columns of derived rows miss a value on real recordings: what the bounds of `batch/null_bounds.py` rest on.

``python -m wearables_platform_tests.null_shares [DIRECTORY]`` replays each corpus into a day of its own, computes the
day as batch does, and prints per corpus and column what share is missing. Corpora that are not there are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from wearables_platform.batch.messages import export_days
from wearables_platform.batch.null_bounds import is_missing
from wearables_platform.batch.rules import build_rules
from wearables_platform.batch.windows import build_features
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.recordings import Recording, replay_messages
from wearables_platform.edge.simulation.fleet import MIN_DEVICES, Fate, simulated_fleet
from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET
from wearables_platform.wire.rule_schema import ROLLING_DATASET, WEAR_DATASET
from wearables_platform_tests import recordings
from wearables_platform_tests.days_rig import DaysArchive, archived
from wearables_platform_tests.lake_rig import DAY, DAY_US

NOON_US = DAY_US + 43_200_000_000
DATASETS = (WINDOWS_DATASET, SPIKES_DATASET, WEAR_DATASET, ROLLING_DATASET)
Documents = Iterator[dict[str, Any]]


def corpora() -> Mapping[str, Callable[[], Documents]]:
    """Return what is replayed, by name; the first two are what the demo plays."""
    return {
        "seglearn watch, 50 Hz": lambda: _replayed(recordings.seglearn_watch()),
        "simulated fleet, 16 kHz": _fleet,
        "spsw watch, 104 Hz": lambda: _replayed(recordings.spsw_watch()),
        "E4 wristband, 32 Hz": lambda: _replayed([recordings.stress_predict(who) for who in ("S01", "S02", "S10")]),
        "phones, 100 to 405 Hz": lambda: _replayed([recordings.oxford_trial(name) for name in recordings.OXFORD_STEPS]),
        "ActiGraph, 100 Hz": lambda: _replayed([recordings.harlab_wrist()]),
    }


def shares(lake: Lake) -> dict[str, tuple[int, dict[str, float]]]:
    """Return per dataset of the day how many rows there are, and the share of them that misses each column."""
    found = {}
    for dataset in DATASETS:
        table = lake.read_table(dataset, [DAY])
        rows = table.num_rows if table is not None else 0
        names = table.column_names if table is not None else ()
        missing = {name: pc.sum(is_missing(table.column(name))).as_py() / rows for name in names if rows}
        found[dataset] = rows, {name: share for name, share in missing.items() if share}
    return found


def _replayed(found: Sequence[recordings.Recording]) -> Documents:
    """Yield the messages of recordings, each on a device of its own that began at noon and sends a message a second."""
    for number, each in enumerate(found):
        device, since_us = f"watch-{number:03d}", int(each.time_us[0])
        recording = Recording(each.name, each.time_us - since_us + NOON_US, each.accel_g, each.rate_hz)
        sampling = ClientConfig(device, target_rate_hz=min(each.rate_hz, 100.0), blocks_per_message=10).sampling(
            each.rate_hz
        )
        for message in replay_messages(device, recording, sampling):
            yield _document(message.identity, message.start_us, message.payload)


def _fleet() -> Documents:
    fleet = simulated_fleet(1, [f"sim-{n}" for n in range(MIN_DEVICES)], start_us=NOON_US, registered_us=DAY_US)
    for fate, message in chain.from_iterable(device.messages() for device in fleet):
        if fate is not Fate.LOST:
            yield _document(message.identity, message.start_us, message.payload)


def _document(identity: Any, start_us: int, payload: bytes) -> dict[str, Any]:
    return archived(ACCELERATION.collection, identity.device_id, identity.boot_id, identity.sequence, start_us, payload)


def main(held_in: str | None = None) -> None:
    """Print the shares of every corpus; those shared beside the project may lie in a directory `held_in`."""
    if held_in is not None:
        recordings.SHARED = Path(held_in)
    for name, documents in corpora().items():
        try:
            held = list(documents())
        except pytest.skip.Exception as absent:
            sys.stdout.write(f"{name}: {absent}\n")
            continue
        with TemporaryDirectory() as directory:
            lake = open_lake(Path(directory).as_uri())
            export_days(DaysArchive(held), lake, ACCELERATION, [DAY])  # type: ignore[arg-type]
            build_features(lake, DAY)
            build_rules(lake, DAY)
            for dataset, (rows, missing) in shares(lake).items():
                grouped: dict[float, list[str]] = {}
                for column, share in missing.items():
                    grouped.setdefault(float(np.round(share, 4)), []).append(column)
                told = "; ".join(f"{share:.2%} {', '.join(columns)}" for share, columns in sorted(grouped.items()))
                sys.stdout.write(f"{name} | {dataset} | {rows} | {told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
