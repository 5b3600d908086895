"""Each process connects with a login of its own, which can do what the process does and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from wearables_platform.clients.sql import SqlClient
from wearables_platform.sql.logins import PROCESS_ROLES, LoginRefused, grant_process
from wearables_platform_tests.contract.sql_kinds import analytics_url  # noqa: F401 - fixture

pytestmark = [pytest.mark.sql, pytest.mark.contract]

PASSWORD = "correct-horse-battery"
SENT = "INSERT INTO telemetry.wear (device_id) SELECT NULL WHERE false"
MADE = "INSERT INTO telemetry.daily_summary SELECT * FROM telemetry.daily_summary WHERE false"

# Process -> what it does. What is another's and not in a process's own list, it may not do.
DOES = {
    "bridge": {"find a device": "SELECT device_id FROM registry.devices JOIN registry.credentials USING (device_id)"},
    "stream": {
        "write a window": "INSERT INTO telemetry.window_features SELECT * FROM telemetry.window_features WHERE false",
        "withdraw an event": "DELETE FROM telemetry.anomalies WHERE false",
        "account": "UPDATE quality.ledger SET consumer = consumer WHERE false",
        "make a partition": "SELECT platform.ensure_partitions('telemetry.wear', '2031-05-01', '2031-05-02')",
        "count scores": "INSERT INTO ml.live_scores SELECT * FROM ml.live_scores WHERE false",
        "take the lock of partitions": "SELECT pg_advisory_xact_lock(1)",
        "stage": "CREATE TEMP TABLE staged_here (a int) ON COMMIT DROP",
    },
    "dagster": {
        "write a summary": MADE,
        "stage readings": "DELETE FROM staging.heart_rate",
        "read who wore what": "SELECT * FROM registry.assignments, registry.participants",
        "publish a model": "INSERT INTO ml.model_versions SELECT * FROM ml.model_versions WHERE false",
        "make all partitions": "SELECT platform.ensure_all_partitions('2031-06-01', '2031-06-02')",
        "drop old features": "SELECT platform.drop_features_before('2001-01-01')",
        "limit the refresh": "SELECT platform.refresh_features_within(NULL)",
        "compare": "SELECT * FROM quality.parity_runs",
    },
    "api": {
        "read the views": "SELECT * FROM analytics.daily_summary_v1, analytics.heart_rate_by_age_group_v1",
        "know a token": "SELECT name FROM registry.access_tokens",
    },
    "webhooks": {
        "find who wore what": "SELECT w.name FROM analytics.assignments_v1 a"
        " JOIN registry.webhooks w ON a.study_id = ANY (w.studies)",
        "put in line": "INSERT INTO registry.webhook_deliveries SELECT * FROM registry.webhook_deliveries WHERE false"
        " ON CONFLICT (message_id) DO NOTHING",
        "take from the line": "UPDATE registry.webhook_deliveries d SET attempts = d.attempts + 1"
        " FROM registry.webhooks w WHERE w.name = d.webhook AND d.message_id ="
        " (SELECT message_id FROM registry.webhook_deliveries LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "end a receiver that is gone": "UPDATE registry.webhooks SET disabled_at = now() WHERE false",
        "forget what ended": "DELETE FROM registry.webhook_deliveries WHERE false",
    },
    "grafana": {"read a view": "SELECT * FROM analytics.daily_summary_v1"},
}
DOES["ingest"] = DOES["bridge"]
# What none of them may do: it is the owner's.
OWNERS = {
    "enrol": "INSERT INTO registry.devices (device_id, registered_at) VALUES ('x', now())",
    "issue a token": "DELETE FROM registry.access_tokens",
    "change a credential": "UPDATE registry.credentials SET device_id = device_id",
    "add a receiver": "INSERT INTO registry.webhooks SELECT * FROM registry.webhooks WHERE false",
    "send to another address": "UPDATE registry.webhooks SET url = 'https://elsewhere.example' WHERE false",
    "make a table": "CREATE TABLE telemetry.mine (a int)",
    "drop a table": "DROP TABLE telemetry.wear",
    "empty a table": "TRUNCATE telemetry.wear",
    "make a role": "CREATE ROLE mine",
    "read the migrations": "SELECT * FROM public._yoyo_migration",
    "become the owner": "SET ROLE wearables",
    "read a file": "SELECT pg_read_file('PG_VERSION')",
    "make another's function its own": "CREATE OR REPLACE FUNCTION platform.has_timescale() RETURNS boolean"
    " LANGUAGE sql STABLE AS 'SELECT true'",
}
# Rights that several have by what they are for.
SHARED = {
    ("dagster", "write a window"),
    ("dagster", "withdraw an event"),
    ("dagster", "account"),
    ("dagster", "make a partition"),
    ("dagster", "count scores"),
    ("dagster", "take the lock of partitions"),
    ("dagster", "stage"),
    ("dagster", "read the views"),
    ("dagster", "read a view"),
    ("api", "read a view"),
}


@pytest.fixture(scope="module")
def owner(analytics_url: str) -> Iterator[SqlClient]:  # noqa: F811 - the fixture
    client = SqlClient(analytics_url, "process role tests", pool_size=1)
    yield client
    client.close()


@pytest.fixture(params=sorted(PROCESS_ROLES))
def process(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def url_as(url: str, name: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}"))


def refusal(connection: psycopg.Connection, statement: str) -> str | None:
    """Why a statement is refused, None where it is not; what it did is undone."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.InvalidParameterValue,  # no such role to become
    ) as error:
        return str(error)
    return None


def test_a_process_can_do_its_work(owner: SqlClient, analytics_url: str, process: str) -> None:  # noqa: F811
    name = grant_process(owner, process, PASSWORD)
    with psycopg.connect(url_as(analytics_url, name), autocommit=True) as connection:
        assert {what: why for what, does in DOES[process].items() if (why := refusal(connection, does))} == {}


def test_a_process_can_do_nobody_elses_work(owner: SqlClient, analytics_url: str, process: str) -> None:  # noqa: F811
    name = grant_process(owner, process, PASSWORD)
    own = DOES[process]
    others = {what: does for doer in DOES.values() for what, does in doer.items() if what not in own}
    with psycopg.connect(url_as(analytics_url, name), autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        allowed = {what for what, does in {**others, **OWNERS}.items() if refusal(connection, does) is None}
    assert allowed == {what for who, what in SHARED if who == process}


def test_only_the_gateway_reads_what_devices_prove_themselves_with(
    owner: SqlClient,
    analytics_url: str,  # noqa: F811
    process: str,
) -> None:
    name = grant_process(owner, process, PASSWORD)
    with psycopg.connect(url_as(analytics_url, name), autocommit=True) as connection:
        refused = refusal(connection, "SELECT * FROM registry.credentials") is not None
    assert refused == (PROCESS_ROLES[process] != "wearables_gateway")


def test_a_new_password_replaces_the_old_one(owner: SqlClient, analytics_url: str) -> None:  # noqa: F811
    grant_process(owner, "api", "another-good-password")
    name = grant_process(owner, "api", PASSWORD)
    with psycopg.connect(url_as(analytics_url, name)) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (name,)


def test_grafana_asks_for_all_panels_of_a_dashboard_at_once_and_no_more(owner: SqlClient) -> None:
    name = grant_process(owner, "grafana", PASSWORD)
    (row,) = owner.rows("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", (name,))
    assert row == {"rolconnlimit": 10}


def test_somebody_elses_role_of_that_name_and_a_weak_password_are_refused(owner: SqlClient) -> None:
    name = grant_process(owner, "api", PASSWORD)
    owner.execute(f"COMMENT ON ROLE {name} IS 'mine'")
    with pytest.raises(LoginRefused, match=f"{name} was not made by wearables prepare"):
        grant_process(owner, "api", PASSWORD)
    owner.execute(f"DROP ROLE {name}")
    with pytest.raises(LoginRefused, match="fewer than 12"):
        grant_process(owner, "api", "short")
