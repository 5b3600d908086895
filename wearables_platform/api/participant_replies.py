"""What answers about participants look like. Instants are UTC, RFC 3339; days are local to the participant."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wearables_platform.api.replies import Values


class DaySpan(BaseModel):
    """A local day; 23 or 25 hours where the clock changes."""

    local_day: date = Field(description="Day in the participant's time zone.")
    day_start: datetime = Field(description="Its first instant.")
    day_end: datetime = Field(description="Its end, exclusive.")
    hours_in_day: float = Field(description="Its length, hours.")
    status: Literal["final", "provisional", "missing"] = Field(
        description="missing: nothing was measured, or nothing said yet at `as_of`; not the same as zero."
    )
    said_from: datetime | None = Field(
        description="Since when this has been said; null where nothing is, or since when is not known."
    )


class DailySteps(DaySpan):
    """Steps of a local day."""

    step_count: int | None = Field(description="Steps; null where nothing was reported.")
    coverage: float = Field(description="Share of the day covered by step reports, 0 to 1.")


class DailyHeartRate(DaySpan):
    """Heart rate of a local day."""

    mean_bpm: float | None = Field(description="Mean of the readings, beats per minute.")
    min_bpm: float | None = Field(description="Lowest reading, beats per minute.")
    max_bpm: float | None = Field(description="Highest reading, beats per minute.")
    resting_bpm: float | None = Field(description="Resting heart rate, beats per minute.")
    readings: int = Field(description="Readings, count.")


class DailyStepsReply(BaseModel):
    """A participant's steps per local day, oldest first."""

    participant_id: str
    time_zone: str = Field(description="IANA zone of the participant.")
    as_of: datetime = Field(description="The instant the answer is for.")
    values: Values = "as_of"
    items: list[DailySteps]


class DailyHeartRateReply(BaseModel):
    """A participant's heart rate per local day, oldest first."""

    participant_id: str
    time_zone: str = Field(description="IANA zone of the participant.")
    as_of: datetime = Field(description="The instant the answer is for.")
    values: Values = "as_of"
    items: list[DailyHeartRate]


class DailyActivity(DaySpan):
    """Activity of a local day, from acceleration; times are null where the device was not worn."""

    wear: Literal["valid", "short", "not_worn"] | None = Field(
        description="valid: worn for ten hours or more. short: for less. Null where nothing was measured."
    )
    coverage: float = Field(description="Share of the day that has samples, 0 to 1.")
    worn_s: int | None = Field(description="Worn, seconds.")
    not_worn_s: int | None = Field(description="Not worn, seconds.")
    wear_unknown_s: int | None = Field(description="Not known whether worn, seconds.")
    unclassified_s: int | None = Field(description="Too few samples for an intensity, seconds.")
    steps: int | None = Field(description="Steps found in acceleration, steps.")
    sedentary_s: int | None = Field(description="Sedentary, seconds.")
    light_s: int | None = Field(description="Light activity, seconds.")
    moderate_s: int | None = Field(description="Moderate activity, seconds.")
    vigorous_s: int | None = Field(description="Vigorous activity, seconds.")
    mvpa_s: int | None = Field(description="Moderate and vigorous activity, seconds.")
    mvpa_bout_10min_s: int | None = Field(description="Of that, in bouts of at least ten minutes, seconds.")
    enmo_used_mean_mg: float | None = Field(description="Mean ENMO of the seconds used, milli-g.")
    m10_mg: float | None = Field(description="Mean ENMO of the ten most active hours, milli-g.")
    m10_start: datetime | None = Field(description="Their begin.")
    l5_mg: float | None = Field(description="Mean ENMO of the five least active hours, milli-g.")
    l5_start: datetime | None = Field(description="Their begin.")
    cut_points: str | None = Field(description="Name of the cut points between intensities.")
    revision: int | None = Field(description="Counts up with each correction.")


class DailyActivityReply(BaseModel):
    """A participant's activity per local day, oldest first."""

    participant_id: str
    time_zone: str = Field(description="IANA zone of the participant.")
    as_of: datetime = Field(description="The instant the answer is for.")
    values: Values = "as_of"
    items: list[DailyActivity]


HourStatus = Literal["final", "provisional", "missing"]


class HourSpan(BaseModel):
    """An hour of a local day, counted from local midnight."""

    local_day: date = Field(description="Day in the participant's time zone.")
    hour_start: datetime = Field(description="Its first instant.")
    hour_end: datetime = Field(description="Its end, exclusive.")
    coverage: float = Field(description="Share of the hour that was reported, 0 to 1.")
    status: HourStatus = Field(
        description="missing: nothing was measured, which is not the same as zero. final: over for 24 hours."
    )


class HourlySteps(HourSpan):
    """Steps of an hour; a reported span counts for the hour it begins in."""

    step_count: int | None = Field(description="Steps; null where nothing was reported.")


class HourlyHeartRate(HourSpan):
    """Heart rate of an hour."""

    mean_bpm: float | None = Field(description="Mean of the readings, beats per minute.")
    min_bpm: float | None = Field(description="Lowest reading, beats per minute.")
    max_bpm: float | None = Field(description="Highest reading, beats per minute.")
    readings: int = Field(description="Readings, count.")


class HourlyActivity(BaseModel):
    """Activity of a UTC hour from one device; an hour without a window has no row."""

    hour_start: datetime = Field(description="Begin of the hour, on UTC hours.")
    device_id: str = Field(description="The device worn.")
    status: HourStatus = Field(description="final: over for 24 hours; provisional before.")
    coverage: float = Field(description="Share of the hour that has samples, 0 to 1.")
    worn_s: int | None = Field(description="Worn, seconds.")
    not_worn_s: int | None = Field(description="Not worn, seconds.")
    wear_unknown_s: int | None = Field(description="Not known whether worn, seconds.")
    unclassified_s: int | None = Field(description="Too few samples for an intensity, seconds.")
    steps: int = Field(description="Steps found in acceleration, steps.")
    sedentary_s: int = Field(description="Sedentary, seconds.")
    light_s: int = Field(description="Light activity, seconds.")
    moderate_s: int = Field(description="Moderate activity, seconds.")
    vigorous_s: int = Field(description="Vigorous activity, seconds.")
    mvpa_s: int | None = Field(description="Moderate and vigorous activity, seconds.")
    enmo_used_mean_mg: float | None = Field(description="Mean ENMO of the seconds used, milli-g.")
    cut_points: str = Field(description="Name of the cut points between intensities.")
    revision: int = Field(description="Counts up with each correction.")


class HourlyReply(BaseModel):
    """Whose hours, and as of when."""

    participant_id: str
    time_zone: str = Field(description="IANA zone of the participant.")
    as_of: datetime = Field(description="The instant the answer is for; later hours are not in it.")
    values: Values = "now"


class HourlyStepsReply(HourlyReply):
    """A participant's steps per hour, oldest first."""

    items: list[HourlySteps]


class HourlyHeartRateReply(HourlyReply):
    """A participant's heart rate per hour, oldest first."""

    items: list[HourlyHeartRate]


class HourlyActivityReply(HourlyReply):
    """A participant's activity per hour and device, oldest first."""

    items: list[HourlyActivity]


class ActivitySegment(BaseModel):
    """Consecutive seconds of one activity; the columns of `analytics.activity_segments_v1`."""

    model_config = ConfigDict(extra="allow")

    device_id: str
    started_at: datetime
    ended_at: datetime = Field(description="End, exclusive.")
    activity: str = Field(description="What was done, one of the labels the model learnt.")
    confidence: float = Field(description="Mean probability of the activity, 0 to 1.")
    model_version: str = Field(description="Version of activity_class that told it.")


class ActivitySegmentPage(BaseModel):
    """Segments, oldest first."""

    items: list[ActivitySegment]
    values: Values = "now"
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


class UnusualFeature(BaseModel):
    """How far a feature of the most unusual second lies from what is usual."""

    feature: str = Field(description="A column of the features per second.")
    robust_z: float = Field(description="Distance from the baseline's median, robust standard deviations.")
    value: float = Field(description="The feature in that second, in its own unit.")
    median: float = Field(description="The baseline's median, in the same unit.")


class UnusualPeriod(BaseModel):
    """A span in which movement was unusual; the columns of `analytics.unusual_periods_v1`."""

    model_config = ConfigDict(extra="allow")

    device_id: str
    started_at: datetime
    ended_at: datetime = Field(description="End, exclusive.")
    peak_score: float = Field(description="Score of the most unusual second, 0 to 1.")
    confidence: float | None = Field(description="Share of the baseline that scores below it; null without one.")
    baseline: str = Field(description="What it is held against: the person's own windows, or everyone's.")
    model_version: str = Field(description="Version of activity_anomaly that scored it.")
    because: list[UnusualFeature] | None = Field(description="What made it so, the most striking first.")


class UnusualPeriodPage(BaseModel):
    """Unusual periods, oldest first."""

    items: list[UnusualPeriod]
    values: Values = "now"
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")
