"""The same operations as tables: a DataFrame in one call, its columns typed as the replies define them."""

from __future__ import annotations

import functools
import tempfile
import types
import typing
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self

from pydantic import BaseModel

from wearables_platform.client.exports import Exports
from wearables_platform.client.typed import TypedClient

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
# What a column of pandas holds for a field of a reply; NaN and missing are told apart only where pandas can.
_COLUMN_TYPES: dict[tuple[Any, bool], str] = {
    (int, False): "int64",
    (int, True): "Int64",
    (float, False): "float64",
    (float, True): "float64",
    (bool, False): "bool",
    (bool, True): "boolean",
    (datetime, False): "datetime64[us, UTC]",
    (datetime, True): "datetime64[us, UTC]",
    (date, False): "datetime64[s]",
    (date, True): "datetime64[s]",
    (str, False): "str",
    (str, True): "str",
}


def column_types(kind: type[BaseModel]) -> dict[str, str]:
    """Return the pandas type of each column of a table of such rows."""
    return {name: _column_type(field.annotation) for name, field in kind.model_fields.items()}


def table(kind: type[BaseModel], items: list[Any], about: dict[str, Any]) -> pd.DataFrame:
    """Make a table of rows; `about` and what each column means go to its `attrs`."""
    import pandas as pd

    found = pd.DataFrame([item.model_dump() for item in items], columns=_columns(kind, items))
    made = found.astype({name: to for name, to in column_types(kind).items() if to != "object"})
    columns = {name: field.description for name, field in kind.model_fields.items() if field.description}
    made.attrs = dict([*about.items(), ("columns", columns)])
    return made


def _columns(kind: type[BaseModel], items: list[Any]) -> list[str]:
    # Replies that carry all columns of a view have more than they declare.
    declared = list(kind.model_fields)
    return declared + [name for name in (items[0].model_extra or {}) if name not in declared] if items else declared


def _column_type(annotation: Any) -> str:
    arms = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    kinds = [arm for arm in arms if arm is not types.NoneType]
    kind = str if typing.get_origin(kinds[0]) is typing.Literal else kinds[0]
    return _COLUMN_TYPES.get((kind, len(kinds) < len(arms)), "object")


def _of_reply(
    method: Callable[Concatenate[TypedClient, P], BaseModel], rows: str = "items"
) -> Callable[Concatenate[Client, P], pd.DataFrame]:
    """Make a table of the rows of a reply; what it says beside them goes to `attrs`."""
    kind = typing.get_args(_reply_of(method).model_fields[rows].annotation)[0]

    @functools.wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        reply = method(self.typed, *args, **kwargs)
        return table(kind, getattr(reply, rows), reply.model_dump(exclude={rows}))

    return call


def _of_pages(
    method: Callable[Concatenate[TypedClient, P], Iterator[BaseModel]],
) -> Callable[Concatenate[Client, P], pd.DataFrame]:
    """Make a table of all pages."""
    kind = typing.get_args(_reply_of(method))[0]

    @functools.wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        return table(kind, list(method(self.typed, *args, **kwargs)), {})

    return call


def _of_file(method: Callable[Concatenate[Exports, Path, P], Path]) -> Callable[Concatenate[Client, P], pd.DataFrame]:
    """Read an export, which comes as Parquet by way of a file: only the table is held in memory."""

    @functools.wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            return pd.read_parquet(method(self.typed, Path(folder) / "export.parquet", *args, **kwargs))

    return call


def _reply_of(method: Callable[..., Any]) -> Any:
    return typing.get_type_hints(method)["return"]


class Client:
    """The API as tables. `typed` has the same methods with the replies themselves, and exports to files.

    Instants are in UTC and aware; a local day is a date without zone; names carry units. `attrs` of a table say whose
    it is and what each column means. Missing is not zero: it is NA or NaN.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, attempts: int = 5) -> None:
        self.typed = TypedClient(url, token, attempts=attempts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self.typed).replace("TypedClient", "Client", 1)

    def close(self) -> None:
        """Close the connections."""
        self.typed.close()

    devices = _of_pages(TypedClient.devices)
    features = _of_pages(TypedClient.features)
    anomalies = _of_pages(TypedClient.anomalies)
    activities = _of_pages(TypedClient.activities)
    unusual_periods = _of_pages(TypedClient.unusual_periods)
    completeness = _of_reply(TypedClient.completeness)
    steps_daily = _of_reply(TypedClient.steps_daily)
    heart_rate_daily = _of_reply(TypedClient.heart_rate_daily)
    activity_daily = _of_reply(TypedClient.activity_daily)
    steps_hourly = _of_reply(TypedClient.steps_hourly)
    heart_rate_hourly = _of_reply(TypedClient.heart_rate_hourly)
    activity_hourly = _of_reply(TypedClient.activity_hourly)
    explain = _of_reply(TypedClient.explain, "contributions")
    cohort_heart_rate = _of_reply(TypedClient.cohort_heart_rate, "groups")
    cohort_activity = _of_reply(TypedClient.cohort_activity, "groups")
    recent_anomalies = _of_reply(TypedClient.recent_anomalies)
    models = _of_reply(TypedClient.models)
    stages = _of_reply(TypedClient.stages)
    export_features = _of_file(TypedClient.export_features)
    export_anomalies = _of_file(TypedClient.export_anomalies)
    export_daily_summaries = _of_file(TypedClient.export_daily_summaries)
    export_daily_activity = _of_file(TypedClient.export_daily_activity)
