"""Dagster's runs and events in PostgreSQL, over connections that are kept.

Dagster opens a connection for every statement of a run and keeps them in its web server alone. A run over a month
writes hundreds of events, and to connect takes longer than to write one. So does to ask, with each event, whether a
table is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from wearables_platform.local.dagster_store import with_driver
from wearables_platform.settings import read_secret_file

# Nothing takes so long but the purge of a large history.
STATEMENT_TIMEOUT_MS: Final = 600_000
RECYCLE_S: Final = 3_600
MORE_CONNECTIONS: Final = 20
# What a step says of its partitions goes in one statement per so many; without it each is several transactions.
BATCH_SIZE: Final = ("DAGSTER_EVENT_BATCH_SIZE", "200")


class KeptEventLog(PostgresEventLogStorage):
    """`PostgresEventLogStorage` that asks once whether a table is there: Dagster asks with every event of an asset."""

    @cached_property
    def _there(self) -> set[str]:
        return set()

    def has_table(self, table_name: str) -> bool:
        """Tell whether a table is there; one that is stays."""
        if table_name not in self._there and super().has_table(table_name):
            self._there.add(table_name)
        return table_name in self._there


class KeptPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` whose processes keep a connection per storage; named in dagster.yaml."""

    @classmethod
    def from_config_value(  # type: ignore[override] # the base class names a narrower mapping of the same keys
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        """Open the storages as Dagster's web server does; a path in place of the URL is of a file that holds it."""
        url = config_value.get("postgres_url", "")
        if url.startswith("/"):
            config_value = {**config_value, "postgres_url": with_driver(read_secret_file(Path(url), "postgres_url"))}
        os.environ.setdefault(*BATCH_SIZE)  # Dagster reads it nowhere else, and with every event
        storage = super().from_config_value(inst_data, config_value)  # type: ignore[arg-type] # the same keys
        storage._event_log_storage = KeptEventLog(
            pg_url_from_config(config_value),
            should_autocreate_tables=False,  # the base class has just made them
            token_provider=get_token_provider_from_config(config_value),
        )
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(STATEMENT_TIMEOUT_MS, RECYCLE_S, MORE_CONNECTIONS)
        return storage
