"""Docs name what exists, found in the code and never in a list kept here; generated tables are fresh."""

from __future__ import annotations

import re

import pytest

from wearables_platform.cli import COMMANDS
from wearables_platform.clients import redis as redis_client
from wearables_platform.domain import channels
from wearables_platform.domain.reasons import DeadLetterReason, QuarantineReason
from wearables_platform.local.failures import ExitCode
from wearables_platform.local.processes import ENTRY_POINTS
from wearables_platform.local.servers import SERVER_NAMES
from wearables_platform_tests.generated_docs import DOCS, TABLES, metrics, with_table
from wearables_platform_tests.schema import ROOT

RUNNING = (DOCS / "running.md").read_text()
ALL_DOCS = "\n".join(page.read_text() for page in sorted(DOCS.glob("*.md")))
MIGRATIONS = "\n".join(path.read_text() for path in sorted((ROOT / "wearables_platform/sql/migrations").glob("*.sql")))


def is_named(name: str) -> bool:
    """Told apart from a word of prose: names stand between backticks."""
    return f"`{name}`" in ALL_DOCS


def tables() -> set[str]:
    created = re.findall(r"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?([a-z]+\.[a-z_]+)", MIGRATIONS)
    return {*created, *re.findall(r"create_time_series\('([a-z_.]+)'", MIGRATIONS)}


def views() -> set[str]:
    return set(re.findall(r"CREATE (?:OR REPLACE )?VIEW ([a-z]+\.[a-z_0-9]+)", MIGRATIONS))


def topics() -> set[str]:
    named = {value for name, value in vars(channels).items() if name.endswith("_TOPIC") and isinstance(value, str)}
    return named | {channel.topic for channel in channels.CHANNELS}


def redis_keys() -> set[str]:
    return {value for name, value in vars(redis_client).items() if name.endswith("_KEY")}


@pytest.mark.parametrize("name", TABLES)
def test_a_generated_table_is_what_the_code_says(name: str) -> None:
    page, write = TABLES[name]
    assert with_table(name, page.read_text(), write()) == page.read_text(), "run `make docs`"


def test_a_page_that_lost_its_marks_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no <!-- settings -->"):
        with_table("settings", "# A page without a table", "| table |")


def test_the_sources_were_searched() -> None:
    assert len(tables()) >= 20
    assert len(views()) >= 10
    assert len(topics()) >= 6
    assert len(redis_keys()) >= 4
    assert len({metric.name.split("_")[1] for metric in metrics()}) >= 5


@pytest.mark.parametrize("topic", sorted(topics()))
def test_every_topic_is_documented(topic: str) -> None:
    assert is_named(topic)


@pytest.mark.parametrize("table", sorted(tables()))
def test_every_table_is_documented(table: str) -> None:
    assert is_named(table)


@pytest.mark.parametrize("view", sorted(views()))
def test_every_view_has_a_section_in_the_sql_reference(view: str) -> None:
    assert f"\n## {view}\n" in (DOCS / "sql.md").read_text()


@pytest.mark.parametrize("key", sorted(redis_keys()))
def test_every_redis_key_is_documented(key: str) -> None:
    assert is_named(key)


@pytest.mark.parametrize("reason", [*DeadLetterReason, *QuarantineReason])
def test_every_reason_is_explained_beside_the_wire_format(reason: str) -> None:
    assert f"`{reason}`" in (DOCS / "wire-format.md").read_text()


def test_every_collection_is_documented() -> None:
    from wearables_platform.assets.ingest.collections import COLLECTIONS

    names = {spec.metadata["collection"] for spec in COLLECTIONS}
    assert {channel.collection for channel in channels.CHANNELS} < names
    assert {name for name in names if not is_named(name)} == set()


def test_every_dagster_asset_schedule_and_sensor_is_documented() -> None:
    from wearables_platform.definitions import defs

    repository = defs.get_repository_def()
    keys = repository.asset_graph.get_all_asset_keys()
    # Assets that stand for one topic or collection each are documented as such, above.
    assets = {key.to_user_string() for key in keys if len(key.path) == 1}
    automations = {one.name for one in (*repository.schedule_defs, *repository.sensor_defs)}
    assert assets
    assert automations
    assert {name for name in assets | automations if not is_named(name)} == set()


def test_every_promise_names_tests_that_exist() -> None:
    page = (DOCS / "delivery.md").read_text()
    promises = re.findall(r"^(\d+)\. \*\*", page, re.MULTILINE)
    proofs = re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE)
    assert [number for number, _ in proofs] == promises
    assert [number for number, named in proofs if "`" not in named] == []
    found = set(re.findall(r"`(?:wearables_platform_tests/)?((?:\w+/)*test_\w+\.py)(?:::(test_\w+))?`", ALL_DOCS))
    assert {named for named in found if not _is_test(*named)} == set()


def _is_test(path: str, function: str) -> bool:
    file = ROOT / "wearables_platform_tests" / path
    return file.exists() and (not function or f"\ndef {function}(" in file.read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"`wearables {command}" in RUNNING or f"`{command}`" in RUNNING


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    assert re.search(rf"^\| {code.value} \| ", RUNNING, re.MULTILINE)


@pytest.mark.parametrize("name", [*SERVER_NAMES, *ENTRY_POINTS])
def test_every_server_and_process_is_documented(name: str) -> None:
    assert name in RUNNING.lower()
