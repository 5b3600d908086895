"""The batch side of the demo, as a process: ``python -m wearables_platform.demo.batch``.

Asked on its input for one part after the other, a line of JSON each, [phase, title]; answers each on its output with a
line of what became of it. It stays, because importing Dagster costs more than running most parts. Everything is
materialized through the instance's own storage, so the Dagster UI shows it like any other run.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any, Final

import dagster as dg

from wearables_platform.definitions import defs
from wearables_platform.demo.cast import SCORED_FROM
from wearables_platform.demo.phases import PHASES, Part
from wearables_platform.demo.timings import PartOutcome

SCORED: Final = {"published_model": {"effective_from": SCORED_FROM.isoformat()}}


def materialize(part: Part, instance: dg.DagsterInstance) -> bool:
    """Run one part in this process; tells whether it and its blocking checks succeeded."""
    job = defs.resolve_implicit_global_asset_job_def()
    tags: dict[str, str] = {"wearables/demo": part.title}
    if part.days is not None:
        first, last = part.days
        tags |= {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    selection = [dg.AssetKey(name) for name in part.assets]
    result = job.execute_in_process(
        run_config=run_config(part), instance=instance, tags=tags, asset_selection=selection, raise_on_error=False
    )
    return bool(result.success)


def timed(part: Part, instance: dg.DagsterInstance) -> PartOutcome:
    """Run one part and say what it took."""
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    succeeded = materialize(part, instance)
    return PartOutcome(succeeded, round(time.monotonic() - began_s, 1), round(time.process_time() - began_cpu_s, 1))


def run_config(part: Part) -> dict[str, Any]:
    """Return what a part's assets are told."""
    told = {**(SCORED if "published_model" in part.assets else {}), **part.config}
    return {"ops": {asset: {"config": dict(values)} for asset, values in told.items()}}


def main() -> int:
    """Run parts until nobody asks for more."""
    with dg.DagsterInstance.get() as instance:
        for line in sys.stdin:
            phase, title = json.loads(line)
            part = next(part for part in PHASES[phase] if part.title == title)
            sys.stdout.write(json.dumps(asdict(timed(part, instance))) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
