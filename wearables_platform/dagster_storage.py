"""Dagster's runs and events in PostgreSQL, over connections that are kept.

Dagster opens a connection for every statement of a run and keeps them in its web server alone. A run over a month
writes hundreds of events, and to connect takes longer than to write one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

# Nothing takes so long but the purge of a large history.
STATEMENT_TIMEOUT_MS: Final = 600_000
RECYCLE_S: Final = 3_600
MORE_CONNECTIONS: Final = 20


class KeptPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` whose processes keep a connection per storage; named in dagster.yaml."""

    @classmethod
    def from_config_value(  # type: ignore[override] # the base class names a narrower mapping of the same keys
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterPostgresStorage:
        """Open the storages as Dagster's web server does."""
        storage = super().from_config_value(inst_data, config_value)  # type: ignore[arg-type] # the same keys
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            part.optimize_for_webserver(STATEMENT_TIMEOUT_MS, RECYCLE_S, MORE_CONNECTIONS)
        return storage
