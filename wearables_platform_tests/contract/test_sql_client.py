"""What every caller may rely on from the SQL client, on whichever PostgreSQL it is given."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from wearables_platform.clients.sql import (
    AppendedRows,
    BulkTable,
    SqlClient,
    columns_to_rows,
    copy_columns,
    upsert_columns,
)
from wearables_platform.errors import StoreRefused, StoreUnavailable

pytestmark = [pytest.mark.sql, pytest.mark.contract]

TABLE = BulkTable(
    "quality.gaps_like",
    {"id": "int8", "revision": "int8", "value": "float8"},
    "ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, value = excluded.value"
    " WHERE gaps_like.revision < excluded.revision",
    distinct_on=("id",),
)


@pytest.fixture
def client(sql_url: str) -> Iterator[SqlClient]:
    client = SqlClient(sql_url, "contract-test")
    client.execute("DROP TABLE IF EXISTS quality.gaps_like")
    client.execute("CREATE TABLE quality.gaps_like (id int8 PRIMARY KEY, revision int8, value float8)")
    yield client
    client.execute("DROP TABLE quality.gaps_like")
    client.close()


def test_rows_written_twice_are_there_once_and_the_second_write_counts_nothing(client: SqlClient) -> None:
    rows = [(1, 1, 0.5), (2, 1, None)]
    assert client.upsert(TABLE, rows) == 2
    assert client.upsert(TABLE, rows) == 0
    assert client.rows("SELECT * FROM quality.gaps_like ORDER BY id") == [
        {"id": 1, "revision": 1, "value": 0.5},
        {"id": 2, "revision": 1, "value": None},
    ]


def test_an_older_revision_never_replaces_a_newer_one(client: SqlClient) -> None:
    client.upsert(TABLE, [(1, 2, 2.0)])
    assert client.upsert(TABLE, [(1, 1, 1.0)]) == 0
    assert client.rows("SELECT value FROM quality.gaps_like") == [{"value": 2.0}]


def test_of_two_rows_with_one_key_in_a_batch_the_last_wins(client: SqlClient) -> None:
    client.upsert(TABLE, [(1, 1, 1.0), (1, 2, 2.0)])
    assert client.rows("SELECT value FROM quality.gaps_like") == [{"value": 2.0}]


def test_nan_becomes_null(client: SqlClient) -> None:
    client.upsert(TABLE, columns_to_rows([np.array([1, 2]), np.array([1, 1]), np.array([np.nan, 2.0])]))
    assert client.rows("SELECT value FROM quality.gaps_like ORDER BY id") == [{"value": None}, {"value": 2.0}]


def test_what_must_run_outside_a_transaction_does_and_the_next_statement_is_in_one_again(client: SqlClient) -> None:
    with pytest.raises(StoreRefused):
        client.execute("VACUUM quality.gaps_like")
    client.call("VACUUM quality.gaps_like")
    with client.transaction() as connection:
        assert not connection.autocommit


def put(client: SqlClient, ids: list[int], revision: int, values: list[float], appended: AppendedRows | None) -> int:
    columns = {"id": np.array(ids), "revision": revision, "value": np.array(values)}
    with client.transaction() as connection:
        return upsert_columns(connection, TABLE, columns, appended=appended)


@pytest.mark.parametrize("appended", [None, AppendedRows()], ids=["merged", "appended"])
def test_columns_written_twice_are_there_once_in_order_and_newer_ones_win(
    client: SqlClient, appended: AppendedRows | None
) -> None:
    assert put(client, [3, 1, 2], 1, [3.0, 1.0, np.nan], appended) == 3
    assert put(client, [3, 1, 2], 1, [3.0, 1.0, np.nan], appended) == 0
    assert put(client, [2, 4], 2, [2.5, 4.0], appended) == 2
    assert put(client, [2], 1, [9.0], appended) == 0
    found = client.rows("SELECT id, revision, value FROM quality.gaps_like ORDER BY ctid")
    assert sorted(map(tuple, (row.values() for row in found))) == [
        (1, 1, 1.0), (2, 2, 2.5), (3, 1, 3.0), (4, 2, 4.0)
    ]  # fmt: skip


def test_columns_with_one_key_twice_keep_the_last_and_may_be_written_twice_in_one_transaction(
    client: SqlClient,
) -> None:
    with client.transaction() as connection:
        for value in (1.0, 2.0):
            columns = {"id": np.array([7, 7]), "revision": 1 if value == 1.0 else 2, "value": np.array([0.0, value])}
            assert upsert_columns(connection, TABLE, columns) == 1
    assert client.rows("SELECT id, value FROM quality.gaps_like") == [{"id": 7, "value": 2.0}]


def test_copied_columns_are_there_and_a_value_too_large_is_refused_before_it_is_sent(client: SqlClient) -> None:
    kinds = {"id": "int8", "value": "float8"}
    with client.transaction() as connection:
        assert copy_columns(connection, TABLE.name, kinds, {"id": np.arange(9_000), "value": 1.5}) == 9_000
    assert client.rows("SELECT count(*) AS n, sum(id) AS s FROM quality.gaps_like") == [{"n": 9_000, "s": 40_495_500}]
    with client.transaction() as connection, pytest.raises(ValueError, match="does not fit int4"):
        copy_columns(connection, TABLE.name, {"id": "int4"}, {"id": np.array([2**40])})


def test_after_failures_appending_is_tried_ever_more_rarely() -> None:
    appended = AppendedRows()
    tried = []
    for call in range(40):
        if appended.worth_trying("t"):
            tried.append(call)
            appended.failed("t")
    assert tried == [0, 2, 5, 10, 19, 36]
    appended.succeeded("t")
    assert appended.worth_trying("another")


def test_a_failed_transaction_leaves_nothing(client: SqlClient) -> None:
    def write_the_same_twice() -> None:
        with client.transaction() as connection:
            for _ in range(2):
                connection.execute("INSERT INTO quality.gaps_like VALUES (1, 1, 1)")

    with pytest.raises(StoreRefused):
        write_the_same_twice()
    assert client.rows("SELECT * FROM quality.gaps_like") == []


def test_a_server_that_is_not_there_is_unavailable_not_refused() -> None:
    with pytest.raises(StoreUnavailable):
        SqlClient("postgresql://nobody@127.0.0.1:1/none", "contract-test").rows("SELECT 1")


def test_a_connection_killed_by_the_server_is_replaced(client: SqlClient, sql_url: str) -> None:
    client.rows("SELECT 1")
    with psycopg.connect(sql_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'contract-test' AND pid <> pg_backend_pid()"
        )
    assert client.rows("SELECT 1 AS one") == [{"one": 1}]
