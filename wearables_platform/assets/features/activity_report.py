"""What the materializations of hourly and daily activity say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wearables_platform.assets.report import SAMPLE_ROWS, bars, markdown_table

if TYPE_CHECKING:
    from wearables_platform.batch.activity.compute import Aggregated

_INTENSITIES = ("sedentary_s", "light_s", "moderate_s", "vigorous_s", "unclassified_s", "not_worn_s")


def activity_metadata(done: Sequence[Aggregated]) -> dict[str, Any]:
    """Return counts, who computed, time by intensity as a plot, and the first rows."""
    rows = [row for each in done for row in each.rows]
    seconds = {name: float(sum(row[name] or 0 for row in rows)) for name in _INTENSITIES}
    metadata: dict[str, Any] = {
        "rows_in_run": len(rows),
        "changed": sum(each.changed for each in done),
        "engine": ", ".join(sorted({each.engine for each in done})),
        "intensity": bars(seconds, "Seconds by intensity", "s"),
    }
    if rows:
        metadata["cut_points"] = rows[0]["cut_points"]
        metadata["sample"] = markdown_table(list(rows[0]), (row.values() for row in rows[:SAMPLE_ROWS]))
    return metadata
