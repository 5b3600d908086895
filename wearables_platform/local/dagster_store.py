"""Where Dagster keeps its own runs, events and ticks: PostgreSQL, away from telemetry."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

ROLE: Final = "wearables_dagster"
SCHEMA: Final = "dagster"
# By name: dagster-postgres speaks to psycopg2, and SQLAlchemy 2.1 takes psycopg 3 for a bare `postgresql`.
SCHEME: Final = "postgresql+psycopg2"
URL_VARIABLE: Final = "WEARABLES_DAGSTER_SQL_URL"
INSTANCE_FILE: Final = Path(__file__).parents[1] / "dagster_home" / "embedded.yaml"

# DDL takes no parameters: the password goes through a setting that ends with the transaction.
_OWN_ROLE: Final = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} LOGIN;
    END IF;
    EXECUTE format('ALTER ROLE {ROLE} PASSWORD %L', current_setting('wearables.dagster_password'));
    EXECUTE format('ALTER ROLE {ROLE} IN DATABASE %I SET search_path = {SCHEMA}', current_database());
    -- A run writes hundreds of events, each its own transaction. If the server dies, the last half second of the
    -- account may be missing, nothing of what runs wrote: monitoring ends such a run, built again it converges.
    EXECUTE format('ALTER ROLE {ROLE} IN DATABASE %I SET synchronous_commit = off', current_database());
    CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {ROLE};
END $$
"""


def own_role_url(sql_url: str, password: str) -> str:
    """Return the URL of Dagster's role in an embedded database.

    >>> own_role_url("postgresql://wearables:secret@127.0.0.1:5432/wearables", "other")
    'postgresql+psycopg2://wearables_dagster:other@127.0.0.1:5432/wearables'
    """
    parts = urlsplit(sql_url)
    place = f"{ROLE}:{quote(password, safe='')}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(scheme=SCHEME, netloc=place))


def own_schema_url(sql_url: str) -> str:
    """Return the URL of a schema of Dagster's own in a database somebody gave us.

    >>> own_schema_url("postgresql://me:secret@db:5432/wearables")
    'postgresql+psycopg2://me:secret@db:5432/wearables?options=-csearch_path%3Ddagster'
    """
    parts = urlsplit(sql_url)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -csearch_path={SCHEMA}".strip()
    return urlunsplit(parts._replace(scheme=SCHEME, query=urlencode(query, quote_via=quote)))


def with_driver(url: str) -> str:
    """Name the driver in a URL that names none."""
    scheme, _, rest = url.partition("://")
    return f"{SCHEME}://{rest}" if "+" not in scheme else url


def prepare_dagster_store(sql_url: str, dagster_sql_url: str) -> None:
    """Make the role and the schema where they are missing; a store given by its own URL is left alone."""
    from wearables_platform.clients.sql import SqlClient

    if dagster_sql_url not in (own_schema_url(sql_url), own_role_url(sql_url, _password(dagster_sql_url))):
        return
    client = SqlClient(sql_url, "wearables-up", pool_size=1)
    try:
        if dagster_sql_url == own_schema_url(sql_url):
            client.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            return
        with client.transaction() as connection:
            password = _password(dagster_sql_url)
            connection.execute("SELECT set_config('wearables.dagster_password', %s, true)", (password,))
            connection.execute(_OWN_ROLE.encode())
    finally:
        client.close()


def _password(url: str) -> str:
    return urlsplit(url).password or ""
