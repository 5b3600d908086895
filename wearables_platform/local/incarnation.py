"""The embedded Kafka forgets its log when it ends; what was derived from positions in that log is forgotten with it.

One *incarnation* is the log, the consumers' commits (in Kafka itself), the stream's recovery store and the ledger of
positions. They begin together. What stays, because it does not depend on positions: the registry, archived messages
and everything keyed by a message's identity or by event time.
"""

from __future__ import annotations

import shutil

from wearables_platform.clients.sql import SqlClient
from wearables_platform.local.layout import RunDirectory

POSITION_TABLES = ("quality.ledger",)


def begin_incarnation(run: RunDirectory, sql_url: str) -> None:
    """Forget the previous log's positions; call before any consumer starts."""
    if run.stream.exists():
        shutil.rmtree(run.stream)
    run.stream.mkdir(mode=0o700)
    client = SqlClient(sql_url, "wearables up", pool_size=1)
    try:
        client.execute(f"TRUNCATE {', '.join(POSITION_TABLES)}")
    finally:
        client.close()
