"""What materializations of rows in SQL have in common to say of themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.report import SAMPLE_ROWS, Spent, markdown_table

if TYPE_CHECKING:
    from wearables_platform.batch.heart_rate_days import Written


def table_metadata(written: Written, spent: Spent) -> dict[str, Any]:
    """Describe what a run wrote: rows, how many changed or may still, the span, the columns, a few rows."""
    rows = written.rows
    states = Counter(row["status"] for row in rows)
    described: dict[str, Any] = {
        "rows_in_run": len(rows),
        "changed": written.changed,
        "final": states["final"],
        "provisional": states["provisional"],
        "first_in_run": written.first_day.isoformat(),
        "last_in_run": written.last_day.isoformat(),
        **spent.rate(len(rows)),
    }
    if rows:
        columns = [dg.TableColumn(name, type(value).__name__) for name, value in rows[0].items()]
        described["dagster/column_schema"] = dg.TableSchema(columns)
        described["sample"] = markdown_table(list(rows[0]), (row.values() for row in rows[:SAMPLE_ROWS]))
    return described
