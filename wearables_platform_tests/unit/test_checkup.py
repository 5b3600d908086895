"""What `wearables doctor` looks at: the room servers need where they run, and nothing of it where they do not."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from wearables_platform.local.checkup import Finding, check_up
from wearables_platform.local.choice import CHOSEN_BY_URL
from wearables_platform.local.layout import RunDirectory
from wearables_platform.settings import Settings

URLS = ("kafka_url", "sql_url", "mongo_url", "redis_url")


def findings(run_dir: Path, **given: object) -> dict[str, Finding]:
    settings = Settings(**given)  # type: ignore[arg-type]
    return {one.name: one for one in check_up(settings, RunDirectory(run_dir))}


def test_servers_that_are_all_elsewhere_need_no_room_here() -> None:
    nowhere = Path("/proc/nobody-writes-here")
    urls = {name: SecretStr("elsewhere://host") for name in URLS}
    found = findings(nowhere, **urls, mqtt_host="balancer")
    assert not found.keys() & {"disk", "run directory"}
    assert all(one.ok for one in found.values())
    assert all(found[name].detail.startswith(CHOSEN_BY_URL) for name in ("kafka", "mqtt", "postgres", "mongo", "redis"))


def test_one_server_that_would_run_here_needs_it() -> None:
    urls = {name: SecretStr("elsewhere://host") for name in URLS}
    found = findings(Path("/proc/nobody-writes-here"), **urls)
    assert found.keys() >= {"disk", "run directory"}
    assert found["mqtt"].detail.endswith("would be started")
