"""The views in `analytics` as released: what a later version may not take from those who read them.

``python -m wearables_platform_tests.sql_contract release`` (``make sql-release``) makes the present views the ones
later versions must not break; ``... reference`` (``make sql-docs``) writes the reference in `docs/sql.md` anew. Both
start a PostgreSQL of their own and migrate it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from wearables_platform.clients.sql import SqlClient
from wearables_platform.sql.migrate import migrate
from wearables_platform.sql.reference import published_columns, render, split_unit, with_reference
from wearables_platform_tests.schema import ROOT
from wearables_platform_tests.servers import TestServers, fresh_database, open_directory

RELEASED = ROOT / "wearables_platform_tests/golden/analytics_views.json"
DOCUMENT = ROOT / "docs/sql.md"

# View to its columns in order, each as [name, type, unit].
Views = dict[str, list[list[str]]]


def views_of(columns: Sequence[Mapping[str, Any]]) -> Views:
    """What readers depend on: names, order, types and units; how a column is described may get better."""
    views: Views = {}
    for column in columns:
        unit = split_unit(column["comment"] or "")[1]
        views.setdefault(column["view"], []).append([column["name"], column["type"], unit])
    return views


def released() -> Views:
    found: Views = json.loads(RELEASED.read_text())
    return found


def breaks(before: Views, now: Views) -> list[str]:
    """What a reader of the views before would stumble over now. New views, and columns at a view's end, are no break.

    >>> breaks({"a_v1": [["x", "text", "g"]]}, {"a_v1": [["x", "text", "g"], ["y", "text", "g"]]})
    []
    >>> breaks({"a_v1": [["x", "text", "g"]]}, {"a_v1": [["x", "text", "mg"]]})
    ["a_v1: column 1 was ['x', 'text', 'g'], is ['x', 'text', 'mg']"]
    """
    return [problem for view, columns in before.items() for problem in _breaks_of(view, columns, now.get(view))]


def _breaks_of(view: str, before: list[list[str]], now: list[list[str]] | None) -> Iterator[str]:
    if now is None:
        yield f"{view}: is no more"
        return
    for number, column in enumerate(before):
        found = now[number] if number < len(now) else None
        if found != column:
            yield f"{view}: column {number + 1} was {column}, is {found}"


def write(views: Views) -> str:
    """One line per column, so that a change of the release reads well."""
    blocks = (
        f" {json.dumps(view)}: [\n" + ",\n".join(f"  {json.dumps(column)}" for column in columns) + "\n ]"
        for view, columns in views.items()
    )
    return "{\n" + ",\n".join(blocks) + "\n}\n"


@contextmanager
def _fresh_columns() -> Iterator[list[dict[str, Any]]]:
    with open_directory() as directory:
        servers = TestServers(directory)
        try:
            for url in fresh_database(servers.url("postgres")):
                migrate(url)
                client = SqlClient(url, "sql-contract", pool_size=1)
                yield published_columns(client)
                client.close()
        finally:
            servers.stop_all()


def release(columns: Sequence[Mapping[str, Any]]) -> None:
    """Make the present views the released ones, unless they break what was released: that takes a new view."""
    views = views_of(columns)
    problems = breaks(released(), views) if RELEASED.exists() else []
    if problems:
        sys.exit("\n".join([*problems, "a change that breaks readers makes a view of the next version"]))
    RELEASED.write_text(write(views))


def reference(columns: list[dict[str, Any]]) -> None:
    DOCUMENT.write_text(with_reference(DOCUMENT.read_text(), render(columns)))


if __name__ == "__main__":
    with _fresh_columns() as fresh:
        {"release": release, "reference": reference}[sys.argv[1]](fresh)
