"""Grafana's macros and variables, expanded as its PostgreSQL data source does: what a panel's query becomes.

Like Grafana's own, a macro's arguments end at the first closing parenthesis, and a macro that is not known is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

MACRO: Final = re.compile(r"\$__(\w+)\(([^)]*)\)")
VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::(\w+))?\}|(\w+))")
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class NoSuchMacro(ValueError):
    """Grafana would send this to the database as it stands."""


@dataclass(frozen=True)
class Picture:
    """What Grafana knows when it asks: the time range, how far points are apart, and what is chosen.

    A list is a variable of which several may be chosen; it stands in a query as quoted values.
    """

    begin: datetime
    end: datetime
    interval: str = "1m"
    chosen: Mapping[str, str | Sequence[str]] | None = None

    def sql(self, query: str) -> str:
        """Expand a query."""
        # Variables come first, in the browser; `$__interval` is one of them. Macros are the server's.
        return MACRO.sub(self._macro, VARIABLE.sub(self._variable, query))

    def path(self, path: str) -> str:
        """Expand the path of a request."""
        return VARIABLE.sub(self._variable, path)

    def _variable(self, found: re.Match[str]) -> str:
        name, form = found[1] or found[3], found[2]
        if name == "__interval":
            return self.interval
        if name.startswith("__"):
            return found[0]
        if self.chosen is None or name not in self.chosen:
            raise NoSuchMacro(found[0])
        value = self.chosen[name]
        if not isinstance(value, str):
            return ",".join(f"'{_escaped(one)}'" for one in value)
        return quote(value, safe="") if form == "percentencode" else _escaped(value)

    def _macro(self, found: re.Match[str]) -> str:
        name, arguments = found[1], [part.strip() for part in found[2].split(",")]
        match name:
            case "timeFilter":
                return f"{arguments[0]} BETWEEN {_instant(self.begin)} AND {_instant(self.end)}"
            case "timeFrom":
                return _instant(self.begin)
            case "timeTo":
                return _instant(self.end)
            case "timeGroup" | "timeGroupAlias":
                step_s = seconds(arguments[1].strip("'"))
                alias = ' AS "time"' if name == "timeGroupAlias" else ""
                return f"floor(extract(epoch from {arguments[0]})/{step_s})*{step_s}{alias}"
        raise NoSuchMacro(found[0])


def seconds(interval: str) -> int:
    """Return how long an interval such as `5m` is."""
    return int(interval[:-1]) * UNITS_S[interval[-1]]


def _instant(time: datetime) -> str:
    return f"'{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"


def _escaped(value: str) -> str:
    return value.replace("'", "''")
