"""Slices of labelled windows: device model, age band, sampling rate, where they are known and enough lie in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.groups import age_band
from wearables_platform.models.class_set import ClassSet

MIN_WINDOWS: Final = 200
MIN_PEOPLE: Final = 2
"""Fewer windows or people in a slice say more about chance, or one person's habits, than about a model."""

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "labels.sql")


@dataclass(frozen=True)
class KnownOf:
    """What is known of devices and people: model by device, birth year by person."""

    device_model: Mapping[str, str] = field(default_factory=dict)
    birth_year: Mapping[str, int] = field(default_factory=dict)


def read_known_of(sql: SqlClient) -> KnownOf:
    """Read models and birth years from the registry."""
    with sql.transaction() as connection:
        models = dict(_queries.list_models_of_devices(connection))
        years = dict(_queries.list_years_of_birth(connection))
    return KnownOf({device: model for device, model in models.items() if model != "unknown"}, years)


def class_slices(windows: ClassSet, known: KnownOf) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each slice that is large enough, by name, and which windows are in it; what is not known is in none."""
    year = int(windows.days[-1][:4]) if len(windows) else 0
    bands = {person: age_band(year - born) or "" for person, born in known.birth_year.items()}
    labels = {
        "device_model": _labels(windows.device_id, known.device_model),
        "age": _labels(windows.person, bands),
        "rate": np.array([f"{rate:.0f} Hz" for rate in windows.rate_hz], dtype=np.str_),
    }
    for kind, label in labels.items():
        for value in np.unique(label[label != ""]).tolist():
            chosen = label == value
            if chosen.sum() >= MIN_WINDOWS and len(np.unique(windows.person[chosen])) >= MIN_PEOPLE:
                yield f"{kind} {value}", chosen


def _labels(ids: NDArray[np.str_], label_of: Mapping[str, str]) -> NDArray[np.str_]:
    names, place = np.unique(ids, return_inverse=True)
    return np.array([label_of.get(str(name), "") for name in names], dtype=np.str_)[place]
