"""The lake swept: what no manifest lists any more goes, a day later."""

from datetime import UTC, datetime

import dagster as dg

from wearables_platform.assets.declare import whole_asset
from wearables_platform.assets.report import bars, markdown_table, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource

SHOWN = 20


@whole_asset(
    # After whatever replaces partitions in the same run: what it superseded is noted at once.
    deps=["raw_acceleration", "raw_vitals", "raw_status", "quarantined_messages", "acceleration_zoom"],
    group="lake",
    kinds={"parquet"},
    pool="lake",
    description=(
        "Data files that no manifest lists are noted, and removed once they have been noted for 24 hours, so that "
        "readers of an older manifest are not disturbed; uploads that killed writers left go too."
    ),
)
def lake_housekeeping(lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Sweep the lake."""
    from wearables_platform.batch.housekeeping import tidy

    with terminal_errors_end_the_step() as spent:
        tidied = tidy(lake.open(), datetime.now(UTC))
    shown = [(path, size, "removed") for path, size in tidied.removed.items()]
    shown += [(path, size, "waiting") for path, size in tidied.waiting.items()]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": tidied.listed,
            **spent.rate(tidied.listed),
            "files_listed": tidied.listed,
            "files_waiting": len(tidied.waiting),
            "bytes_waiting": sum(tidied.waiting.values()),
            "files_removed": len(tidied.removed),
            "bytes_removed": sum(tidied.removed.values()),
            "unfinished_removed": tidied.unfinished,
            "by_fate": bars(
                {"waiting": sum(tidied.waiting.values()), "removed": sum(tidied.removed.values())},
                "Bytes no manifest lists",
                "bytes",
            ),
            "files": markdown_table(("file", "bytes", ""), shown[:SHOWN]),
        }
    )
