"""What a dashboard is made of, and the JSON Grafana reads for it.

Panels are laid out as one writes: from left to right, a new line where the next does not fit; so none can overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any, Final

GRID_WIDTH: Final = 24
SCHEMA_VERSION: Final = 41  # of Grafana 12; later ones migrate it when they load it
TIME_ZONE: Final = "browser"

# As in provisioning/datasources: panels name the uid, so that a data source may be renamed or pointed elsewhere.
SQL: Final = {"type": "grafana-postgresql-datasource", "uid": "wearables-sql"}
PROMETHEUS: Final = {"type": "prometheus", "uid": "wearables-prometheus"}
API: Final = {"type": "yesoreyeram-infinity-datasource", "uid": "wearables-api"}

GREEN, YELLOW, RED = "green", "yellow", "red"
# From which value on which colour; None is from the beginning.
Steps = Sequence[tuple[float | None, str]]
NONE_WANTED: Final[Steps] = ((None, GREEN), (1, RED))


@dataclass(frozen=True)
class Sql:
    """A query of the published views; `time_series` where a column `time` is the x axis."""

    text: str
    time_series: bool = False

    datasource = SQL

    def target(self, ref: str) -> dict[str, Any]:
        """Return what Grafana sends to the data source."""
        return {
            "datasource": SQL,
            "editorMode": "code",
            "format": "time_series" if self.time_series else "table",
            "rawQuery": True,
            "rawSql": dedent(self.text).strip(),
            "refId": ref,
        }


@dataclass(frozen=True)
class Prom:
    """A PromQL expression; `legend` names its series by their labels."""

    expression: str
    legend: str

    datasource = PROMETHEUS

    def target(self, ref: str) -> dict[str, Any]:
        """Return what Grafana sends to the data source."""
        return {
            "datasource": PROMETHEUS,
            "editorMode": "code",
            "expr": self.expression,
            "legendFormat": self.legend,
            "range": True,
            "refId": ref,
        }


@dataclass(frozen=True)
class Api:
    """A request to the query API, and the fields of the answer that become columns: (field, title, type)."""

    path: str
    columns: tuple[tuple[str, str, str], ...]
    root: str = ""

    datasource = API

    def target(self, ref: str) -> dict[str, Any]:
        """Return what the Infinity data source asks."""
        return {
            "columns": [{"selector": name, "text": text, "type": kind} for name, text, kind in self.columns],
            "datasource": API,
            "format": "table",
            "parser": "backend",
            "refId": ref,
            "root_selector": self.root,
            "source": "url",
            "type": "json",
            "url": self.path,
            "url_options": {"method": "GET"},
        }


Query = Sql | Prom | Api


@dataclass(frozen=True)
class Panel:
    """One picture, and the question it answers.

    `unit` is Grafana's name of the unit; `units` overrides it by column; `links` leads from a column to a dashboard,
    the column's value being one of its variables; `options` and `custom` go to the panel as they are.
    """

    kind: str
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 12
    height: int = 8
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    steps: Steps = ((None, GREEN),)
    units: dict[str, str] = field(default_factory=dict)
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel at a place of the grid."""
        return {
            "datasource": self.queries[0].datasource,
            "description": self.description,
            "fieldConfig": {"defaults": self._defaults(), "overrides": [*self._overrides()]},
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": number,
            "interval": "1m" if isinstance(self.queries[0], Prom) else "1s",
            "options": _options(self.kind) | self.options,
            "targets": [query.target(chr(ord("A") + place)) for place, query in enumerate(self.queries)],
            "title": self.title,
            "type": self.kind,
        }

    def _defaults(self) -> dict[str, Any]:
        steps = [{"color": color, "value": value} for value, color in self.steps]
        said = {"decimals": self.decimals, "min": self.minimum, "max": self.maximum}
        return {
            "custom": _custom(self.kind) | self.custom,
            "noValue": "no data",
            "thresholds": {"mode": "absolute", "steps": steps},
            "unit": self.unit,
            **{name: value for name, value in said.items() if value is not None},
        }

    def _overrides(self) -> Iterator[dict[str, Any]]:
        for column, unit in self.units.items():
            yield _override(column, "unit", unit)
        for column, (dashboard, variable) in self.links.items():
            url = f"/d/{dashboard}?var-{variable}=${{__value.raw:percentencode}}"
            yield _override(column, "links", [{"title": f"Open this {variable}", "url": url}])


@dataclass(frozen=True)
class Variable:
    """A choice at the top of a dashboard, filled by a query; `several` lets more than one be chosen, or all."""

    name: str
    label: str
    query: str
    several: bool = False

    def json(self) -> dict[str, Any]:
        """Return the variable, asked again whenever the time range changes."""
        query = dedent(self.query).strip()
        chosen = {"current": {"selected": True, "text": ["All"], "value": ["$__all"]}} if self.several else {}
        return {
            "datasource": SQL,
            "definition": query,
            "hide": 0,
            "includeAll": self.several,
            "label": self.label,
            "multi": self.several,
            "name": self.name,
            "query": query,
            "refresh": 2,
            "sort": 1,
            "type": "query",
            **chosen,
        }


@dataclass(frozen=True)
class Dashboard:
    """A page; `since` is the time range it opens with and `refresh` how often it asks again."""

    uid: str
    title: str
    description: str
    since: str
    refresh: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
    marks: Sql | None = None

    def json(self) -> dict[str, Any]:
        """Return what Grafana loads."""
        return {
            "annotations": {"list": [_marks(self.marks)] if self.marks else []},
            "description": self.description,
            "editable": False,
            "graphTooltip": 1,
            "links": [_menu()],
            "panels": [*_placed(self.panels)],
            "refresh": self.refresh,
            "schemaVersion": SCHEMA_VERSION,
            "tags": ["wearables"],
            "templating": {"list": [variable.json() for variable in self.variables]},
            "time": {"from": self.since, "to": "now"},
            "timepicker": {"refresh_intervals": ["5s", "30s", "1m", "5m", "1h"]},
            "timezone": TIME_ZONE,
            "title": self.title,
            "uid": self.uid,
        }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > GRID_WIDTH:
            x, y, tallest = 0, y + tallest, 0
        yield panel.json(number, x, y)
        x, tallest = x + panel.width, max(tallest, panel.height)


def _override(column: str, name: str, value: object) -> dict[str, Any]:
    return {"matcher": {"id": "byName", "options": column}, "properties": [{"id": name, "value": value}]}


def _options(kind: str) -> dict[str, Any]:
    match kind:
        case "timeseries":
            return {
                "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "stat":
            return {
                "colorMode": "value",
                "graphMode": "none",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            }
        case "table":
            return {"cellHeight": "sm", "showHeader": True}
        case "barchart":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "xTickLabelRotation": -45,
            }
        case "state-timeline":
            return {"mergeValues": True, "showValue": "auto", "rowHeight": 0.9}
    message = f"panels of kind {kind!r} have no options here"
    raise ValueError(message)


def _custom(kind: str) -> dict[str, Any]:
    # Where nothing was measured there is no line: missing is not zero, nor what was before.
    return {"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": False} if kind == "timeseries" else {}


def _marks(query: Sql) -> dict[str, Any]:
    return {
        "datasource": SQL,
        "enable": True,
        "iconColor": "red",
        "name": "Events",
        "target": query.target("Anno"),
    }


def _menu() -> dict[str, Any]:
    return {
        "asDropdown": True,
        "includeVars": False,
        "keepTime": False,
        "tags": ["wearables"],
        "title": "Wearables",
        "type": "dashboards",
    }
