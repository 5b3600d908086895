"""What every caller may rely on from the SQL client, on whichever PostgreSQL it is given."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from wearables_platform.clients.sql import BulkTable, SqlClient, columns_to_rows
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
