"""Write the SQL reference, `docs/sql.md`, from the comments the migrations put on the published views.

``python -m wearables_platform.sql.reference docs/sql.md`` writes it anew from the database of the running instance;
what stands above the marker in the file is written by hand and stays.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from wearables_platform.clients.sql import SqlClient
from wearables_platform.settings import load_settings

MARKER = "<!-- Below: written by `python -m wearables_platform.sql.reference docs/sql.md`. -->"

PUBLISHED_COLUMNS = """
    SELECT c.relname AS view, obj_description(c.oid) AS about, a.attname AS name,
           format_type(a.atttypid, a.atttypmod) AS type, col_description(c.oid, a.attnum) AS comment
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
    ORDER BY c.relname, a.attnum
"""


def published_columns(client: SqlClient) -> list[dict[str, Any]]:
    """Return every column of every published view: view, about, name, type, comment."""
    return client.rows(PUBLISHED_COLUMNS)


def split_unit(comment: str) -> tuple[str, str]:
    """Split a column's comment into meaning and unit.

    >>> split_unit("Heart rate; beats per minute.")
    ('Heart rate', 'beats per minute')
    """
    meaning, found, unit = comment.rstrip(".").rpartition("; ")
    return (meaning, unit) if found else (comment, "")


def render(columns: list[dict[str, Any]]) -> str:
    """Write the views as Markdown, one table each."""
    views = groupby(columns, key=lambda column: (column["view"], column["about"]))
    return "\n".join(_view(name, about, list(members)) for (name, about), members in views)


def with_reference(document: str, reference: str) -> str:
    """Replace what stands below the marker."""
    head, found, _ = document.partition(MARKER)
    return f"{head.rstrip()}\n\n{MARKER}\n\n{reference}" if found else f"{document.rstrip()}\n\n{MARKER}\n\n{reference}"


def _view(name: str, about: str, columns: list[dict[str, Any]]) -> str:
    lines = [f"## analytics.{name}", "", about, "", "| column | type | what it is | unit |", "|---|---|---|---|"]
    for column in columns:
        meaning, unit = split_unit(column["comment"] or "")
        lines.append(f"| `{column['name']}` | {_short(column['type'])} | {meaning} | {unit} |")
    return "\n".join(lines) + "\n"


def _short(kind: str) -> str:
    return kind.replace("timestamp with time zone", "timestamptz")


def main(arguments: list[str]) -> None:
    """Rewrite the reference in the file named on the command line."""
    document = Path(arguments[0])
    client = SqlClient(load_settings().require("sql_url"), "sql-reference", pool_size=1)
    document.write_text(with_reference(document.read_text(), render(published_columns(client))))
    client.close()


if __name__ == "__main__":
    main(sys.argv[1:])
