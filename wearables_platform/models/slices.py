"""Slices: the groups among whom a model must not be worse for the sake of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.groups import age_band

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "labels.sql")

UNKNOWN: Final = "unknown"
Text = NDArray[np.str_]


@dataclass(frozen=True)
class Wearer:
    """A device and one who wore it, with what makes a slice, and the zone that decides the person's day."""

    device_id: str
    participant_id: str
    device_model: str
    birth_year: int
    time_zone: str


def read_wearers(sql: SqlClient) -> list[Wearer]:
    """Return every device with everyone known who ever wore it."""
    with sql.transaction() as connection:
        return [Wearer(*row) for row in _queries.list_wearers(connection)]


def slices_of(
    person: Text,
    device_id: Text,
    start_us: NDArray[np.int64],
    rate_hz: NDArray[np.float64],
    wearers: Sequence[Wearer],
) -> dict[str, Text]:
    """Return, per kind of slice, the (N,) slice each window lies in: device model, age band, sampling rate."""
    models = {one.device_id: one.device_model for one in wearers}
    born = {one.participant_id: one.birth_year for one in wearers}
    year = start_us.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    return {
        "device_model": _looked_up(device_id, models),
        "age_band": np.array(
            [_band(born.get(str(one)), int(then)) for one, then in zip(person, year, strict=True)], dtype=np.str_
        ),
        "rate_hz": np.array([f"{rate:g}" for rate in np.round(rate_hz)], dtype=np.str_),
    }


def _looked_up(keys: Text, known: dict[str, str]) -> Text:
    return np.array([known.get(str(key), UNKNOWN) for key in keys], dtype=np.str_)


def _band(birth_year: int | None, year: int) -> str:
    band = None if birth_year is None else age_band(year - birth_year)
    return band or UNKNOWN
