"""The batch side of the demo, as a process: ``python -m wearables_platform.demo.batch PHASE``.

One process for a phase, because importing Dagster costs more than running these assets. Everything is materialized
through the instance's own storage, so the Dagster UI shows it like any other run. Each finished part is one line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import dagster as dg

from wearables_platform.definitions import defs
from wearables_platform.demo.cast import SCORED_FROM

# Every UTC day on which anything of the demo happens.
FIRST_DAY: Final = "2026-02-28"
LAST_DAY: Final = "2026-04-05"


class Part(NamedTuple):
    """Assets that are materialized together; unpartitioned ones have no days."""

    title: str
    assets: Sequence[str]
    days: tuple[str, str] | None = (FIRST_DAY, LAST_DAY)


PHASES: Final[dict[str, Sequence[Part]]] = {
    # The recordings and the vitals are in: clean them, learn from them, publish a model.
    "learn": (
        Part("archive to Parquet", ("raw_acceleration", "raw_vitals", "raw_status")),
        Part("heart rate and steps", ("heart_rate", "steps", "daily_summary")),
        Part("features", ("window_features", "spike_events", "hourly_activity")),
        Part("model", ("training_set", "activity_anomaly_model", "published_model"), None),
    ),
    # The fleet is in, scored by that model: recompute, compare with the stream, account for every message.
    "prove": (
        Part("archive to Parquet", ("raw_acceleration", "raw_vitals", "raw_status")),
        Part("quarantine", ("quarantined_messages",), None),
        Part("features", ("window_features", "spike_events", "hourly_activity")),
        Part("parity", ("parity",)),
        Part("conservation", ("conservation",), None),
    ),
}
CONFIG: Final = {"ops": {"published_model": {"config": {"effective_from": SCORED_FROM.isoformat()}}}}


def materialize(part: Part, instance: dg.DagsterInstance) -> bool:
    """Run one part in this process; tells whether it and its blocking checks succeeded."""
    job = defs.resolve_implicit_global_asset_job_def()
    tags: dict[str, str] = {"wearables/demo": part.title}
    if part.days is not None:
        first, last = part.days
        tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    config: dict[str, Any] = CONFIG if "published_model" in part.assets else {}
    selection = [dg.AssetKey(name) for name in part.assets]
    result = job.execute_in_process(
        run_config=config, instance=instance, tags=tags, asset_selection=selection, raise_on_error=False
    )
    return bool(result.success)


def main() -> int:
    """Run a phase; exit code 0 if every part succeeded."""
    failed = []
    with dg.DagsterInstance.get() as instance:
        for part in PHASES[sys.argv[1]]:
            succeeded = materialize(part, instance)
            sys.stdout.write(f"{part.title}: {'done' if succeeded else 'FAILED'}\n")
            sys.stdout.flush()
            failed += [] if succeeded else [part.title]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
