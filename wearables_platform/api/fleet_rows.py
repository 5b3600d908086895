"""A device's row in the overview of a large fleet: a list of plain values instead of a named field each."""

from __future__ import annotations

import math
from typing import Final, get_args

from wearables_platform.api.latest import RawLatest, newest_us
from wearables_platform.api.replies import Freshness

# Times are milliseconds since 1970, freshness is a place in `Freshness`; what is not known is null.
COLUMNS: Final = (
    "device_id", "freshness", "event_time_ms", "received_time_ms", "heart_rate_bpm", "vm_g", "enmo_mg",
    "anomaly_score", "battery_percent", "worn",
)  # fmt: skip
FRESHNESS: Final = {name: place for place, name in enumerate(get_args(Freshness))}

Cell = str | int | float | None


def compact_row(device_id: str, raw: RawLatest, freshness: Freshness) -> list[Cell]:
    """Return the values of `COLUMNS`, rounded to what a reader of a table can tell apart."""
    return [
        device_id,
        FRESHNESS[freshness],
        _milliseconds(newest_us(raw)),
        _milliseconds(int(raw["append_us"]) if raw.get("append_us") else None),
        _rounded(raw.get("hr_bpm"), 1),
        _rounded(raw.get("vm_g"), 3),
        _rounded(raw.get("enmo_mg"), 1),
        _rounded(raw.get("anomaly_score"), 3),
        _rounded(raw.get("battery_percent"), 1),
        raw["worn"] in ("1", "true") if raw.get("worn") else None,
    ]


def _milliseconds(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // 1_000


def _rounded(text: str | None, digits: int) -> float | None:
    # JSON knows neither NaN nor infinity.
    value = float(text) if text else math.nan
    return round(value, digits) if math.isfinite(value) else None
