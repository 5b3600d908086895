"""Slices a version is judged in besides overall: device model, age band, sampling rate, where they are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.groups import age_band
from wearables_platform.models.training_set import TrainingSet
from wearables_platform.wire.feature_schema import WINDOWS_DATASET

MIN_WINDOWS: Final = 200
MIN_PEOPLE: Final = 2
"""Fewer windows or people in a slice say more about chance, or one person's habits, than about a model."""

UNKNOWN: Final = "unknown"

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "models.sql")


class Windows(Protocol):
    """Windows of people, whatever is learnt from them."""

    @property
    def days(self) -> Sequence[str]:
        """Days they are of, ascending."""

    @property
    def person(self) -> NDArray[np.str_]:
        """Who wore the device, by window."""

    @property
    def device_id(self) -> NDArray[np.str_]:
        """Which device, by window."""

    def __len__(self) -> int:
        """Return how many there are."""


@dataclass(frozen=True)
class Known:
    """What is known of devices and people: model and rate by device, birth year by person."""

    device_model: Mapping[str, str] = field(default_factory=dict)
    birth_year: Mapping[str, int] = field(default_factory=dict)
    rate_hz: Mapping[str, float] = field(default_factory=dict)


def read_known(sql: SqlClient, lake: Lake, windows: TrainingSet) -> Known:
    """Read models and birth years from the registry, and rates from the lake's last day of the set."""
    return replace(read_people_and_devices(sql), rate_hz=_rates_hz(lake, windows))


def read_people_and_devices(sql: SqlClient) -> Known:
    """Read models and birth years from the registry."""
    with sql.transaction() as connection:
        years = dict(_queries.list_birth_years(connection))
    return Known(read_device_models(sql), years)


def read_device_models(sql: SqlClient) -> dict[str, str]:
    """Return the model of every device."""
    with sql.transaction() as connection:
        return dict(_queries.list_device_models(connection))


def _rates_hz(lake: Lake, windows: TrainingSet) -> dict[str, float]:
    table = lake.read_table(WINDOWS_DATASET, windows.days[-1:], columns=["device_id", "rate_hz"])
    if table is None or not table.num_rows:
        return {}
    rates = table.filter(pc.is_finite(table.column("rate_hz"))).group_by("device_id").aggregate([("rate_hz", "mean")])
    return dict(zip(rates.column("device_id").to_pylist(), rates.column("rate_hz_mean").to_pylist(), strict=True))


def slices_of(windows: TrainingSet, known: Known) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each slice that is large enough, by name, and which windows are in it; what is not known is in none."""
    rate = _labels(windows.device_id, {d: f"{rate:.0f} Hz" for d, rate in known.rate_hz.items()})
    return large_slices(windows, known, rate)


def large_slices(windows: Windows, known: Known, rate: NDArray[np.str_]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield slices as `slices_of`, of any windows; `rate` is what each window's rate is called, empty if not known."""
    year = int(windows.days[-1][:4]) if len(windows) else 0
    labels = {
        "device_model": _labels(windows.device_id, {d: m for d, m in known.device_model.items() if m != UNKNOWN}),
        "age": _labels(windows.person, {p: age_band(year - born) or "" for p, born in known.birth_year.items()}),
        "rate": rate,
    }
    for kind, label in labels.items():
        for value in np.unique(label[label != ""]).tolist():
            chosen = label == value
            if chosen.sum() >= MIN_WINDOWS and len(np.unique(windows.person[chosen])) >= MIN_PEOPLE:
                yield f"{kind} {value}", chosen


def _labels(ids: NDArray[np.str_], label_of: Mapping[str, str]) -> NDArray[np.str_]:
    names, place = np.unique(ids, return_inverse=True)
    return np.array([label_of.get(str(name), "") for name in names], dtype=np.str_)[place]
