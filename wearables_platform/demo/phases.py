"""What Dagster is asked for in the demo, part by part; plain values, so that naming them imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

# Every UTC day on which anything of the demo happens.
FIRST_DAY: Final = "2026-02-28"
LAST_DAY: Final = "2026-04-05"


class Part(NamedTuple):
    """Assets that are materialized together.

    Attributes
    ----------
    after
        The parts of the phase that must have ended before it begins: what it reads is theirs.
    days
        Unpartitioned assets have none.
    """

    title: str
    assets: Sequence[str]
    after: Sequence[str] = ()
    days: tuple[str, str] | None = (FIRST_DAY, LAST_DAY)
    config: Mapping[str, Mapping[str, Any]] = {}


LEARN: Final = "learn"
PROVE: Final = "prove"
MODEL: Final = "model"

_RAW: Final = Part("archive to Parquet", ("raw_acceleration", "raw_vitals", "raw_status"))
_FEATURES: Final = Part(
    "features", ("window_features", "spike_events", "rule_events", "wear", "rolling_features"), (_RAW.title,)
)
_ACTIVITY: Final = Part("activity", ("hourly_activity", "daily_activity"), (_FEATURES.title,))

_TRAIN_ON: Final = ("activity_anomaly_model", "published_model")
# The same windows, other parameters. Three trees of sixteen windows rank events far worse than a hundred of 1,024; two
# hundred rank them a little better, whoever of the held-out people judges: by age band, which the seed draws.
WORSE: Final = Part(
    "a worse version", _TRAIN_ON, (MODEL,), None, {"activity_anomaly_model": {"n_trees": 3, "max_samples": 16}}
)
# After the worse one: of two candidates at once only the newest is judged.
CHALLENGER: Final = Part("a challenger", _TRAIN_ON, (WORSE.title,), None, {"activity_anomaly_model": {"n_trees": 200}})

# Of the parts that may begin, the first listed does: what most others wait for comes first.
PHASES: Final[Mapping[str, Sequence[Part]]] = {
    # The recordings and the vitals are in: clean them, learn from them, publish a model.
    LEARN: (
        _RAW,
        _FEATURES,
        Part(MODEL, ("training_set", "activity_anomaly_model", "published_model"), (_FEATURES.title,), None),
        # The first version is in force; of these the gate refuses one, and one runs in shadow: see `model_loop`.
        WORSE,
        CHALLENGER,
        Part("heart rate and steps", ("heart_rate", "steps"), (_RAW.title,)),
        _ACTIVITY,
        Part(
            "activities",
            ("activity_training_set", "activity_class_model", "published_activity_model"),
            (_FEATURES.title,),
            None,
        ),
        Part(
            "people's days and weeks",
            ("daily_heart_rate", "daily_summary", "weekly_trend", "cohort_baselines"),
            ("heart rate and steps", _ACTIVITY.title),
        ),
        Part(
            "skin temperature",
            ("skin_temperature", "skin_temperature_hourly", "skin_temperature_daily", "undeclared_readings"),
            (_RAW.title,),
        ),
    ),
    # The fleet is in, scored by that model: recompute, compare with the stream, account for every message.
    PROVE: (
        _RAW,
        _FEATURES,
        Part("parity", ("parity",), (_FEATURES.title,)),
        Part("conservation", ("conservation",), ("parity",), None),
        _ACTIVITY,
        # On the days with movement; the others have nothing to tell.
        Part(
            "insights",
            ("activity_segments", "unusual_periods"),
            (_FEATURES.title,),
            ("2026-03-28", "2026-03-29"),
        ),
        Part("quarantine", ("quarantined_messages",), (), None),
        Part("what became of the models", ("promoted_model",), ("conservation",), None),
    ),
}
