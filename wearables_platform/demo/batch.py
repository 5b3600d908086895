"""The batch side of the demo, as a process: ``python -m wearables_platform.demo.batch PHASE REPORT``.

One process for a phase, because importing Dagster costs more than running these assets. Everything is materialized
through the instance's own storage, so the Dagster UI shows it like any other run. Each finished part is one line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import dagster as dg

from wearables_platform.definitions import defs
from wearables_platform.demo.cast import SCORED_FROM
from wearables_platform.demo.phases import PHASES, Part

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
    phase, report = sys.argv[1], Path(sys.argv[2])
    outcomes: dict[str, bool] = {}
    with dg.DagsterInstance.get() as instance:
        for part in PHASES[phase]:
            succeeded = outcomes[f"{phase}: {part.title}"] = materialize(part, instance)
            sys.stdout.write(f"{part.title}: {'done' if succeeded else 'FAILED'}\n")
            sys.stdout.flush()
    report.write_text(json.dumps(outcomes))
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
