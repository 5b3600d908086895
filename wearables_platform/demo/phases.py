"""What Dagster is asked for in the demo, part by part; plain values, so that naming them imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

# Every UTC day on which anything of the demo happens.
FIRST_DAY: Final = "2026-02-28"
LAST_DAY: Final = "2026-04-05"


class Part(NamedTuple):
    """Assets that are materialized together; unpartitioned ones have no days."""

    title: str
    assets: Sequence[str]
    days: tuple[str, str] | None = (FIRST_DAY, LAST_DAY)


PHASES: Final[dict[str, Sequence[Part]]] = {
    # The recordings and the vitals are in: clean them, learn from them, publish a model.
    "learn": (
        Part("archive to Parquet", ("raw_acceleration", "raw_vitals", "raw_status")),
        Part("heart rate and steps", ("heart_rate", "steps")),
        Part(
            "skin temperature",
            ("skin_temperature", "skin_temperature_hourly", "skin_temperature_daily", "undeclared_readings"),
        ),
        Part(
            "features",
            ("window_features", "spike_events", "rule_events", "wear", "rolling_features"),
        ),
        Part("activity", ("hourly_activity", "daily_activity")),
        Part("people's days and weeks", ("daily_heart_rate", "daily_summary", "weekly_trend", "cohort_baselines")),
        Part("model", ("training_set", "activity_anomaly_model", "published_model"), None),
        Part("activities", ("activity_training_set", "activity_class_model", "published_activity_model"), None),
    ),
    # The fleet is in, scored by that model: recompute, compare with the stream, account for every message.
    "prove": (
        Part("archive to Parquet", ("raw_acceleration", "raw_vitals", "raw_status")),
        Part("quarantine", ("quarantined_messages",), None),
        Part(
            "features",
            ("window_features", "spike_events", "rule_events", "wear", "rolling_features"),
        ),
        Part("activity", ("hourly_activity", "daily_activity")),
        # On the days with movement; the others have nothing to tell.
        Part("insights", ("activity_segments", "unusual_periods"), ("2026-03-28", "2026-03-29")),
        Part("parity", ("parity",)),
        Part("conservation", ("conservation",), None),
    ),
}
