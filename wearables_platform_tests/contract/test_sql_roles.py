"""People who write SQL connect with logins of their own, and each can do what the role is for and nothing else."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from typer.testing import CliRunner

from wearables_platform.cli import build_app
from wearables_platform.clients.sql import SqlClient
from wearables_platform.sql import logins
from wearables_platform.sql.logins import Limits, LoginRefused
from wearables_platform_tests.contract.sql_kinds import analytics_url  # noqa: F401 - fixture

pytestmark = [pytest.mark.sql, pytest.mark.contract]

PASSWORD = "correct horse battery"

# Each is a way out of the views; {login} is the login itself. Refused whether or not the session is read-only.
FORBIDDEN = {
    "read a table": "SELECT * FROM telemetry.heart_rate",
    "read a partition or chunk's parent": "SELECT count(*) FROM ONLY telemetry.window_features",
    "read credentials": "SELECT * FROM registry.credentials",
    "read what groups hide": "SELECT * FROM analytics.heart_rate_by_age_group_v1",
    "read the migrations": "SELECT * FROM public._yoyo_migration",
    "read passwords": "SELECT rolpassword FROM pg_authid",
    "read a file": "SELECT pg_read_file('PG_VERSION')",
    "list files": "SELECT pg_ls_dir('.')",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat'",
    "write a file": "COPY (SELECT 1) TO '/tmp/wearables-analyst'",
    "read a file as a table": "COPY analytics.heart_rate_v1 FROM '/etc/passwd'",
    "write through a view": "UPDATE analytics.participants_v1 SET birth_year = 1900",
    "insert through a view": "INSERT INTO analytics.window_features_v1 (device_id) VALUES ('x')",
    "delete through a view": "DELETE FROM analytics.daily_summary_v1",
    "write a table": "DELETE FROM quality.ledger",
    "empty a table": "TRUNCATE quality.ledger",
    "make a table": "CREATE TABLE public.mine (a int)",
    "make a table beside the views": "CREATE TABLE analytics.mine (a int)",
    "make a view": "CREATE VIEW analytics.mine_v1 AS SELECT 1 AS a",
    "make a temporary table": "CREATE TEMPORARY TABLE mine (a int)",
    "make a schema": "CREATE SCHEMA mine",
    "make a function": "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "make an extension": "CREATE EXTENSION pg_trgm",
    "make a role": "CREATE ROLE mine",
    "raise its own limit": "ALTER ROLE {login} CONNECTION LIMIT 100",
    "extend its own time": "ALTER ROLE {login} VALID UNTIL 'infinity'",
    "give the role away": "GRANT {role} TO {login} WITH ADMIN OPTION",
    "become the owner": "SET ROLE wearables",
    "become a writer of files": "SET ROLE pg_write_server_files",
    "change the server": "ALTER SYSTEM SET work_mem = '1GB'",
    "drop a view": "DROP VIEW analytics.heart_rate_v1",
    "change a comment": "COMMENT ON VIEW analytics.heart_rate_v1 IS 'mine'",
    "call the platform's functions": "SELECT platform.has_timescale()",
    "make partitions": "SELECT platform.ensure_partitions('telemetry.steps', '2026-01-01', '2026-01-01')",
    "store a large object": "SELECT lo_from_bytea(0, 'x')",
    "make a large object": "SELECT lo_create(0)",
    "stop the stream": "SELECT pg_advisory_lock(hashtext('platform.ensure_partitions'))",
    "stop the stream, politely": "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
    "end another's session": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user",
    "lock a table": "BEGIN; LOCK TABLE telemetry.heart_rate IN ACCESS EXCLUSIVE MODE",
    "lock what a view reads": "BEGIN; LOCK TABLE analytics.heart_rate_v1 IN ACCESS EXCLUSIVE MODE",
    "read another's statistics": "SELECT pg_stat_reset()",
}
# Beyond that, what TimescaleDB would let an owner do.
FORBIDDEN_ON_TIMESCALE = {
    "drop chunks": "SELECT public.drop_chunks('telemetry.window_features', older_than => interval '0 days')",
    "make a job": "SELECT public.add_job('pg_catalog.pg_sleep', '1 hour')",
}
REFUSED = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.ReadOnlySqlTransaction,
)


@pytest.fixture(scope="module")
def client(analytics_url: str) -> Iterator[SqlClient]:  # noqa: F811 - the fixture
    client = SqlClient(analytics_url, "role tests", pool_size=1)
    yield client
    client.close()


@pytest.fixture(params=logins.ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def login(client: SqlClient) -> Iterator[str]:
    name = f"person_{uuid.uuid4().hex[:8]}"
    yield name
    if any(one["name"] == name for one in logins.logins(client)):
        logins.revoke(client, name)


def url_of(url: str, name: str, password: str = PASSWORD) -> str:
    parts = urlsplit(url)
    place = f"{name}:{password.replace(' ', '%20')}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=place))


def test_a_login_can_do_nothing_but_what_its_role_is_for(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    login: str,
    role: str,
) -> None:
    logins.grant(client, login, role, PASSWORD, Limits())
    timescale = client.rows("SELECT platform.has_timescale() AS yes")[0]["yes"]
    forbidden = {**FORBIDDEN, **(FORBIDDEN_ON_TIMESCALE if timescale else {})}
    with psycopg.connect(url_of(analytics_url, login), autocommit=True) as connection:
        # The default can be switched off by whoever connects: the grants must hold without it.
        connection.execute("SET default_transaction_read_only = off")
        done = {
            what: outcome
            for what, statement in forbidden.items()
            if (outcome := _outcome(connection, statement.format(login=login, role=role))) is not None
        }
    assert done == {}


def test_no_relation_of_any_schema_can_be_read_but_the_views(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    login: str,
) -> None:
    logins.grant(client, login, "analyst", PASSWORD, Limits())
    client.execute("INSERT INTO telemetry.heart_rate VALUES ('roles-2', '2026-01-02', 60, 'm', 1, 'batch', 'x')")
    with psycopg.connect(url_of(analytics_url, login)) as connection:
        readable = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_schema_privilege(n.oid, 'USAGE')"
            " AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
            # TimescaleDB lets everybody see what it knows of its tables, which is not what is in them.
            " AND (n.nspname NOT LIKE '%timescaledb%' OR c.relname ~ '^(_hyper|compress_hyper|_materialized)_')"
            " AND n.nspname NOT LIKE ALL (ARRAY['analytics', 'pg_toast%'])"
            " AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
        ).fetchall()
        writable = connection.execute(
            "SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'analytics'::regnamespace"
            " AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')"
        ).fetchall()
    assert (readable, writable) == ([], [])


def test_a_session_of_an_analyst_is_read_only_bounded_in_time_and_in_utc(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    login: str,
) -> None:
    logins.grant(client, login, "analyst", PASSWORD, Limits(statement_timeout_s=1))
    with psycopg.connect(url_of(analytics_url, login), autocommit=True) as connection:
        shown = [
            (connection.execute(f"SHOW {name}".encode()).fetchone() or ("",))[0]
            for name in (
                "transaction_read_only",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "timezone",
            )
        ]
        assert shown == ["on", "1s", "5min", "UTC"]
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(30)")


def test_one_connection_more_than_granted_is_refused(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    login: str,
) -> None:
    logins.grant(client, login, "analyst", PASSWORD, Limits(connections=1))
    with (
        psycopg.connect(url_of(analytics_url, login)),
        pytest.raises(psycopg.OperationalError, match="too many connections"),
    ):
        psycopg.connect(url_of(analytics_url, login))


def test_a_labeller_adds_labels_and_reads_them(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    login: str,
) -> None:
    client.execute("INSERT INTO registry.devices (device_id, registered_at) VALUES ('roles-1', '2026-01-01')")
    logins.grant(client, login, "labeller", PASSWORD, Limits())
    with psycopg.connect(url_of(analytics_url, login), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO ml.labels (device_id, started_at, ended_at, label, said_by)"
            " VALUES ('roles-1', '2026-01-02 10:00+00', '2026-01-02 10:05+00', 'walking', 'a test')"
        )
        found = connection.execute("SELECT label FROM analytics.labels_v1 WHERE device_id = 'roles-1'").fetchall()
        assert found == [("walking",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM analytics.heart_rate_v1")


def test_granting_again_changes_role_and_password_and_the_password_never_crosses_the_wire(
    client: SqlClient,
    analytics_url: str,  # noqa: F811
    login: str,
) -> None:
    logins.grant(client, login, "labeller", PASSWORD, Limits())
    logins.grant(client, login, "analyst", "another good password", Limits(connections=2))
    (one,) = [one for one in logins.logins(client) if one["name"] == login]
    assert (one["role"], one["connections"]) == ("analyst", 2)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url_of(analytics_url, login))
    psycopg.connect(url_of(analytics_url, login, "another good password")).close()


@pytest.mark.parametrize(
    ("name", "role", "password"),
    [
        ("wearables", "analyst", PASSWORD),
        ("analyst", "analyst", PASSWORD),
        ("pg_monitor", "analyst", PASSWORD),
        ('x"; DROP ROLE analyst; --', "analyst", PASSWORD),
        ("someone", "pg_write_server_files", PASSWORD),
        ("someone", "analyst", "short"),
    ],
)
def test_what_is_no_login_for_a_person_is_refused(client: SqlClient, name: str, role: str, password: str) -> None:
    with pytest.raises(LoginRefused):
        logins.grant(client, name, role, password, Limits())
    assert "someone" not in {one["name"] for one in logins.logins(client)}


def test_the_command_grants_lists_and_revokes(
    analytics_url: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEARABLES_SQL_URL", analytics_url)
    name = f"person_{uuid.uuid4().hex[:8]}"
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    _command("grant", name, "--password-file", str(tmp_path / "password"), "--valid-until", "2100-01-01")
    assert {
        "name": name,
        "role": "analyst",
        "connections": 3,
        "valid_until": "2100-01-01T00:00:00+00:00",
    } in json.loads(_command("logins", "--json"))
    open_session = psycopg.connect(url_of(analytics_url, name))
    _command("revoke", name)
    with pytest.raises(psycopg.OperationalError):
        open_session.execute("SELECT 1")
    open_session.close()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url_of(analytics_url, name))


def _command(*arguments: str) -> str:
    result = CliRunner().invoke(build_app("sql"), ["sql", *arguments])
    if result.exception is not None:
        raise result.exception
    return str(result.stdout)


def _outcome(connection: psycopg.Connection[Any], statement: str) -> str | None:
    """What a statement did, or which error it gave that is no refusal; None where it was refused."""
    try:
        connection.execute(statement.encode())
    except REFUSED:
        connection.rollback()
        return None
    except psycopg.Error as error:
        connection.rollback()
        return f"{type(error).__name__}: {error}"
    return "done"
