"""How much of a column may be without a value, column by column, and why: the one catalogue of null ratios.

A column that is not named here may hold no null and no NaN at all. What real recordings miss is measured by
``python -m wearables_platform_tests.null_shares``; the figures are beside the bounds in docs/dagster.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc


class NullBound(NamedTuple):
    """The largest share of a day's rows that may be null, from 0 to 1, and the reason."""

    share: float
    reason: str


# A day of a few rows says nothing of shares: below this many rows only "never" is judged.
FEWEST_ROWS: Final = 100

_FEW_SAMPLES: Final = NullBound(0.25, "a second with too few samples has no such number")
_STILL: Final = NullBound(0.95, "a watch that lies still has no dominant frequency")

_OF_WINDOWS: Final = {
    **dict.fromkeys(
        (
            *("vm_mean_g", "vm_std_g", "vm_min_g", "vm_max_g", "vm_p95_g", "enmo_mg", "mad_mg"),
            *("x_mean_g", "y_mean_g", "z_mean_g", "x_std_g", "y_std_g", "z_std_g"),
            *("angle_z_deg", "pitch_deg", "roll_deg", "jerk_rms_g_s", "zero_crossings", "peaks", "steps"),
        ),
        _FEW_SAMPLES,
    ),
    **dict.fromkeys(("peak_raw_g", "peak_g"), NullBound(1.0, "only clients that reduce their samples send peaks")),
    **dict.fromkeys(("dominant_hz", "dominant_power_share", "spectral_entropy"), _STILL),
}
_OF_SPIKES: Final = dict.fromkeys(
    ("peak_g", "direction_x", "direction_y", "direction_z"),
    NullBound(0.25, "a spike beside a gap has no direction"),
)
_OF_READINGS: Final = {"message_day": NullBound(1.0, "rows cleaned by an earlier version do not say it")}

NULL_BOUNDS: Final[Mapping[str, Mapping[str, NullBound]]] = {
    "raw_acceleration": {},
    "raw_vitals": {},
    "raw_status": {},
    "window_features": _OF_WINDOWS,
    "spike_events": _OF_SPIKES,
    "rule_events": {
        "extreme_value": NullBound(1.0, "a silence has no extreme"),
        "duration_ms": NullBound(1.0, "an event that goes on past what was looked at has no end yet"),
    },
    "wear": {"sd_mg": NullBound(1.0, "until most of an hour is measured nothing is known of its spread")},
    "rolling_features": {
        **{
            name: NullBound(0.25, "a span without a full second has no such number")
            for name in (
                *("vm_mean_g", "vm_std_g", "vm_min_g", "vm_max_g", "enmo_mg", "enmo_1s_p95_mg", "mad_1s_mean_mg"),
                *("steps", "cadence_per_min"),
            )
        }
    },
    "heart_rate": _OF_READINGS,
    "steps": _OF_READINGS,
    "daily_summary": {
        "step_count": NullBound(1.0, "a day without step counts is missing, not zero"),
        **dict.fromkeys(
            ("heart_rate_mean_bpm", "heart_rate_min_bpm", "heart_rate_max_bpm", "resting_heart_rate_bpm"),
            NullBound(1.0, "a day without heart rates is missing, not zero"),
        ),
    },
}


def bound_of(asset: str, column: str) -> NullBound:
    """Return what may be missing of a column.

    >>> bound_of("heart_rate", "bpm").share
    0.0
    """
    return NULL_BOUNDS[asset].get(column, NullBound(0.0, "always there"))


def too_many(asset: str, column: str, missing: int, rows: int) -> str | None:
    """Say what is wrong with the number of missing values, None if nothing is.

    >>> too_many("rolling_features", "steps", 60, 100)
    'steps is missing in 60 of 100 rows, at most 25% may be: a span without a full second has no such number'
    >>> too_many("rolling_features", "steps", 6, 10), too_many("heart_rate", "bpm", 0, 10)
    (None, None)
    """
    bound = bound_of(asset, column)
    if not missing or missing <= bound.share * rows or (bound.share and rows < FEWEST_ROWS):
        return None
    return f"{column} is missing in {missing} of {rows} rows, at most {bound.share:.0%} may be: {bound.reason}"


def is_missing(column: Any) -> Any:
    """Return where a column holds null or NaN."""
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
