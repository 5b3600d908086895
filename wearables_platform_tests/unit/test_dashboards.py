"""The dashboards and alerts as Grafana and Prometheus read them: whole, of one mind, and asking for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from wearables_platform.dashboards.build import DASHBOARDS, FOLDER, files
from wearables_platform.dashboards.panels import GRID_WIDTH, SCHEMA_VERSION, TIME_ZONE, Prom
from wearables_platform_tests.generated_docs import DOCS, metrics
from wearables_platform_tests.grafana_sql import NoSuchMacro, Picture, seconds
from wearables_platform_tests.test_docs_text import anchors

BOARDS: list[dict[str, Any]] = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
DATASOURCES: list[dict[str, Any]] = yaml.safe_load(
    (FOLDER / "provisioning" / "datasources" / "datasources.yaml").read_text()
)["datasources"]
RULES_FILE = FOLDER / "provisioning" / "alerting" / "rules.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(RULES_FILE.read_text())["groups"][0]["rules"]
PROMETHEUS = FOLDER / "prometheus"
PROMETHEUS_RULES: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_what_grafana_reads_is_what_the_description_says(path: Path) -> None:
    assert path.read_text() == files()[path], "run `make dashboards`"


def test_there_is_no_dashboard_without_a_description() -> None:
    assert {board["uid"] for board in BOARDS} == {board.uid for board in DASHBOARDS}
    assert len({board["title"] for board in BOARDS}) == len(BOARDS)


@each_board
def test_a_dashboard_says_what_it_is_and_opens_in_the_readers_time(board: dict[str, Any]) -> None:
    assert board["title"]
    assert len(board["description"]) > 20
    assert (board["schemaVersion"], board["timezone"]) == (SCHEMA_VERSION, TIME_ZONE)
    assert seconds(board["refresh"]) >= 5
    assert board["time"]["to"] == "now"
    assert "id" not in board  # Grafana gives it
    assert all(board["uid"].startswith("wearables-") and len(one["uid"]) <= 40 for one in BOARDS)


@each_board
def test_panels_are_named_explained_and_have_a_unit_and_an_interval(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"] not in ("", "Panel Title", "New panel")
        assert len(panel["description"]) > 15
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert seconds(panel["interval"]) >= 1
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])


@each_board
def test_panels_lie_on_the_grid_and_not_on_each_other(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_WIDTH
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@each_board
def test_every_data_source_is_one_that_is_provisioned(board: dict[str, Any]) -> None:
    known = {(one["type"], one["uid"]) for one in DATASOURCES}
    named = [node["datasource"] for node in _nodes(board) if "datasource" in node]
    assert named
    assert {(one["type"], one["uid"]) for one in named} <= known
    assert {rule["data"][0]["datasourceUid"] for rule in RULES} <= {uid for _, uid in known}


def test_links_lead_to_dashboards_and_their_variables() -> None:
    variables = {board["uid"]: {one["name"] for one in board["templating"]["list"]} for board in BOARDS}
    links = re.findall(r"/d/([\w-]+)\?var-(\w+)=", json.dumps(BOARDS))
    assert links
    assert [(uid, name) for uid, name in links if name not in variables[uid]] == []


def test_no_secret_and_no_address_stands_in_a_file() -> None:
    for one in DATASOURCES:
        assert re.fullmatch(r"\$\{WEARABLES_GRAFANA_\w+\}", one["url"])
        assert all(
            re.fullmatch(r"\$\{WEARABLES_GRAFANA_\w+\}", value) for value in one.get("secureJsonData", {}).values()
        )
    dashboards = "".join(path.read_text() for path in FOLDER.glob("*.json"))
    assert "http://" not in dashboards
    assert "https://" not in dashboards


def test_grafana_expands_nothing_in_the_rules() -> None:
    assert "$" not in RULES_FILE.read_text()


@pytest.mark.parametrize("rule", [*RULES, *PROMETHEUS_RULES], ids=lambda rule: rule.get("uid") or rule.get("alert"))
def test_an_alert_has_a_severity_a_summary_and_a_runbook_that_is_there(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["summary"]
    page, _, section = rule["annotations"]["runbook"].partition("#")
    assert section in anchors(DOCS.parent / page)
    assert section == rule.get("alert", rule.get("uid", "")).lower().removeprefix("wearables-")


def test_names_of_alerts_are_used_once() -> None:
    names = [rule.get("uid") or rule["alert"] for rule in (*RULES, *PROMETHEUS_RULES)]
    assert len(set(names)) == len(names)


# What the names of metrics that every process may have go on with.
SHARED = {"process", "build", "dead"}


def test_every_process_of_ours_that_has_metrics_is_scraped_and_named_once() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    targets = [target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]]
    assert len(set(targets)) == len(targets)
    scraped = {job["job_name"].removeprefix("wearables-") for job in config["scrape_configs"]}
    assert scraped == {metric.name.split("_")[1] for metric in metrics()} - SHARED
    elsewhere = [*files().values(), (PROMETHEUS / "alerts.yml").read_text()]
    assert [target for target in targets if any(target in text for text in elsewhere)] == []


EXPRESSIONS = [query.expression for board in DASHBOARDS for panel in board.panels for query in panel.queries
               if isinstance(query, Prom)]  # fmt: skip
EXPRESSIONS += [rule["expr"] for rule in PROMETHEUS_RULES]


@cache
def labels_of_metrics() -> dict[str, set[str]]:
    """By name as Prometheus stores it; read from the sources once, which takes a while."""
    known = {"up": {"job", "instance"}}
    for metric in metrics():
        ends = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        known |= {f"{metric.name}{end}": {*metric.labels, "job", "instance", "le"} for end in ends}
    return known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_there_are(expression: str) -> None:
    known = labels_of_metrics()
    named = set(re.findall(r"\b(?:wearables_\w+|up)\b", expression))
    assert named
    assert named <= set(known)
    labels = set(re.findall(r"(\w+)=~?\"", expression))
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",")}
    assert labels <= set.union(*(known[name] for name in named))


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool absent")
    return found


def _checked(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.contract
def test_prometheus_takes_the_configuration_and_the_rules(promtool: str) -> None:
    _checked(promtool, "check", "config", str(PROMETHEUS / "prometheus.yml"))
    _checked(promtool, "check", "rules", str(PROMETHEUS / "alerts.yml"))


@pytest.mark.contract
def test_prometheus_parses_every_expression_of_the_panels(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    _checked(promtool, "check", "rules", str(path))


@pytest.mark.contract
def test_alerts_of_the_processes_fire_when_they_should_and_only_then(promtool: str) -> None:
    _checked(promtool, "test", "rules", str(Path(__file__).with_name("prometheus_alerts.yml")))


def test_every_alert_of_the_processes_is_tried_both_ways() -> None:
    cases = yaml.safe_load(Path(__file__).with_name("prometheus_alerts.yml").read_text())["tests"]
    tried = {(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]}
    assert tried == {(rule["alert"], fires) for rule in PROMETHEUS_RULES for fires in (True, False)}


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "expanded"),
    [
        ("$__timeFilter(a.at)", "a.at BETWEEN '2026-03-01T12:00:00Z' AND '2026-03-01T12:00:00Z'"),
        ("$__timeFrom()::timestamptz", "'2026-03-01T12:00:00Z'::timestamptz"),
        ("$__timeGroup(at, '5m')", "floor(extract(epoch from at)/300)*300"),
        ("$__timeGroup(at, '$__interval')", "floor(extract(epoch from at)/60)*60"),
        ("$__timeGroupAlias(at, 1h)", 'floor(extract(epoch from at)/3600)*3600 AS "time"'),
        ("id = '$device'", "id = 'o''neill'"),
        ("study IN ($study)", "study IN ('a','b')"),
        ("/v1/devices/${device:percentencode}", "/v1/devices/o%27neill"),
    ],
)
def test_macros_and_variables_become_what_grafana_makes_of_them(query: str, expanded: str) -> None:
    picture = Picture(NOON, NOON, "1m", {"device": "o'neill", "study": ["a", "b"]})
    assert (picture.path(query) if query.startswith("/") else picture.sql(query)) == expanded


@pytest.mark.parametrize("query", ["$__timeSlice(at)", "id = '$watch'"])
def test_a_macro_or_variable_that_is_not_there_is_noticed(query: str) -> None:
    with pytest.raises(NoSuchMacro):
        Picture(NOON, NOON).sql(query)


def _nodes(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inside in value.values():
            yield from _nodes(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _nodes(inside)
