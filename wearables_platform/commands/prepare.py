"""``wearables prepare``: what must be there before the processes of a deployment start; the one-shot of a release."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import typer

from wearables_platform.clients.kafka import Admin
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.local.dagster_store import prepare_dagster_store
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.mqtt_credentials import MqttCredentials
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.settings import load_settings, read_secret_file
from wearables_platform.sql.logins import PROCESS_ROLES, grant_process
from wearables_platform.sql.migrate import migrate

_log = get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prepare")(prepare)


def prepare(
    secrets: Path | None = typer.Option(
        None,
        "--secrets",
        help="Directory of secret files: sql_<process>_password gives each process a login of its own,"
        " mqtt_bridge_password lets the bridges in at MQTT brokers that read this run directory's accounts.",
    ),
) -> None:
    """Bring the SQL schema up to date, make Dagster's store, logins, Kafka topics and MQTT accounts; safe to run again.

    WEARABLES_SQL_URL is the owner's here. Run it before the processes of a new version start: migrations only add.

    Exit codes: 0 done; 1 a store refused; 3 configuration; 11 a store does not answer.
    """
    settings = load_settings()
    configure_logging("prepare", level=settings.log_level)
    sql_url = settings.require("sql_url")
    _log.info("schema up to date", applied=migrate(sql_url))
    if settings.dagster_sql_url is not None:
        prepare_dagster_store(sql_url, settings.require("dagster_sql_url"))
    ensure_platform_topics(Admin(settings.require("kafka_url"), "wearables-prepare"), settings)
    if secrets is not None:
        _let_in(sql_url, RunDirectory(settings.run_dir), secrets)


def _let_in(sql_url: str, run: RunDirectory, secrets: Path) -> None:
    with closing(SqlClient(sql_url, "wearables prepare", pool_size=1)) as client:
        for process in PROCESS_ROLES:
            name = f"sql_{process}_password"
            _log.info("login ready", name=grant_process(client, process, read_secret_file(secrets / name, name)))
    bridge = "mqtt_bridge_password"
    MqttCredentials(run.mqtt).create(read_secret_file(secrets / bridge, bridge))
    _log.info("MQTT accounts ready", directory=str(run.mqtt))
