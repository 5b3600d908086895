"""`docs/sql.md` tells the whole truth: every published column with its unit, and queries that run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from wearables_platform.clients.sql import SqlClient
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.sql.reference import MARKER, published_columns, render, split_unit, with_reference

pytestmark = [pytest.mark.sql, pytest.mark.integration]

DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"
LEARNING = DOCUMENT.with_name("learning.md")
QUERIES = [
    query.strip()
    for page in (DOCUMENT, LEARNING)
    for block in re.findall(r"```sql\n(.*?)```", page.read_text(), flags=re.DOTALL)
    for query in block.split(";\n")
    if query.strip() and not query.startswith("INSERT")
]
NOT_FOR_ANALYSTS = {"heart_rate_by_age_group_v1"}


@pytest.fixture
def columns(sql_url: str) -> Iterator[list[dict[str, Any]]]:
    client = SqlClient(sql_url, "reference-test")
    yield published_columns(client)
    client.close()


def test_every_published_column_says_what_it_is_and_in_which_unit(columns: list[dict[str, Any]]) -> None:
    assert len({column["view"] for column in columns}) >= 10
    silent = [
        f"{column['view']}.{column['name']}"
        for column in columns
        if not column["about"] or not all(split_unit(column["comment"] or ""))
    ]
    assert silent == []


def test_every_view_carries_its_version(columns: list[dict[str, Any]]) -> None:
    assert [column["view"] for column in columns if not re.search(r"_v\d+$", column["view"])] == []


def test_the_reference_is_what_the_database_says(columns: list[dict[str, Any]]) -> None:
    document = DOCUMENT.read_text()
    assert MARKER in document
    assert with_reference(document, render(columns)) == document, (
        "run python -m wearables_platform.sql.reference docs/sql.md"
    )


def test_every_quality_flag_is_listed_with_its_bit() -> None:
    listed = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert [(int(bit), name) for bit, name in listed] == [(flag.value, flag.name) for flag in QualityFlag]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_query_in_the_docs_runs_as_an_analyst(sql_url: str, query: str) -> None:
    with psycopg.connect(sql_url) as connection:
        connection.execute("SET ROLE analyst")
        assert connection.execute(query.encode()).description


def test_an_analyst_reads_every_view_but_the_unhidden_groups_and_nothing_else(sql_url: str) -> None:
    with psycopg.connect(sql_url, autocommit=True) as connection:
        relations = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname IN"
            " ('registry', 'telemetry', 'quality', 'ml', 'staging', 'analytics') AND c.relkind IN ('r', 'p', 'v')"
        ).fetchall()
        connection.execute("SET ROLE analyst")
        readable = {(schema, name) for schema, name in relations if _reads(connection, schema, name)}
    views = {(schema, name) for schema, name in relations if schema == "analytics" and name not in NOT_FOR_ANALYSTS}
    assert readable == views


def _reads(connection: psycopg.Connection[Any], schema: str, name: str) -> bool:
    query = psycopg.sql.SQL("SELECT FROM {} LIMIT 0").format(psycopg.sql.Identifier(schema, name))
    try:
        connection.execute(query)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
