"""What answers look like: every field with its meaning and unit. Instants are UTC, RFC 3339."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Freshness = Literal["live", "late", "silent"]


Values = Annotated[
    Literal["as_of", "now"],
    Field(description="as_of: what was said at `as_of`. now: no history is kept of these values; what is known now."),
]


class Device(BaseModel):
    """An enrolled device."""

    device_id: str = Field(description="The device's id.")
    device_model: str = Field(description="Make and model.")
    registered_at: datetime = Field(description="When it was enrolled.")
    enabled: bool = Field(description="False once it may no longer send.")
    participant_id: str | None = Field(description="Who wears it now (pseudonym).")
    study_id: str | None = Field(description="Their study.")


class DevicePage(BaseModel):
    """Devices in the order of their id."""

    items: list[Device]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")


class SensorValue(BaseModel):
    """The newest believable value of one channel of a declared sensor type."""

    sensor: str = Field(description="Type of the sensor, such as skin_temperature.")
    channel: str = Field(description="Which of its channels.")
    value: float = Field(description="The value, in `unit`.")
    unit: str = Field(description="Unit of the value, UCUM.")
    time: datetime = Field(description="When it was measured.")


class Latest(BaseModel):
    """The newest values of a device by event time; a value never seen is null."""

    device_id: str = Field(description="The device's id.")
    event_time: datetime | None = Field(description="When the newest of its values was measured.")
    motion_time: datetime | None = Field(description="When the newest acceleration sample was measured.")
    received_time: datetime | None = Field(description="When that sample's message reached the log.")
    freshness: Freshness = Field(
        description="live: measured just now. late: arriving, but measured a while ago. silent: nothing arrives."
    )
    stale: bool = Field(description="True unless live: do not read these values as of now.")
    age_s: float | None = Field(description="Seconds from `event_time` to `as_of`.")
    sequence: int | None = Field(description="Sequence number of that sample's message.")
    boot_id: str | None = Field(description="Run of the client it belongs to.")
    x_g: float | None = Field(description="Acceleration along x, g.")
    y_g: float | None = Field(description="Acceleration along y, g.")
    z_g: float | None = Field(description="Acceleration along z, g.")
    vm_g: float | None = Field(description="Vector magnitude, g.")
    rate_hz: float | None = Field(description="Sampling rate, Hz.")
    heart_rate_bpm: float | None = Field(description="Newest heart rate, beats per minute.")
    heart_rate_time: datetime | None = Field(description="When it was measured.")
    step_count: int | None = Field(description="Steps of the newest reported span, steps.")
    steps_time: datetime | None = Field(description="End of that span.")
    window_start: datetime | None = Field(description="Start of the newest closed window.")
    enmo_mg: float | None = Field(description="ENMO of that window, milli-g.")
    anomaly_score: float | None = Field(description="Model score of that window; higher is stranger.")
    model_version: str | None = Field(description="Version of the model that scored it.")
    battery_percent: float | None = Field(description="Battery charge, percent.")
    worn: bool | None = Field(description="Whether the device says it is worn.")
    sensors: list[SensorValue] = Field(description="Newest values of declared sensor types, by name.")


class _Group(BaseModel):
    group: str = Field(description="Age in the year of measurement, sex, or device model, as `by` says.")
    hidden: bool = Field(
        description="True where the group, or what would be left over beside it, is smaller than `min_group_size`."
    )
    n_people: int | None = Field(description="People in the group; null where hidden.")


class HeartRateGroup(_Group):
    """One group of people."""

    age_group: str | None = Field(description="The same as `group` where that is an age; null otherwise.")
    heart_rate_mean_bpm: float | None = Field(
        description="Mean of the people's means, beats per minute; null where hidden."
    )
    heart_rate_mean_low_bpm: float | None = Field(description="Lower end of its 95 % bootstrap interval.")
    heart_rate_mean_high_bpm: float | None = Field(description="Upper end of it.")


class ActivityGroup(_Group):
    """One group of people."""

    mean: float | None = Field(description="Mean of the people's means, in `unit`; null where hidden.")
    low: float | None = Field(description="Lower end of its 95 % bootstrap interval.")
    high: float | None = Field(description="Upper end of it.")


class _Groups(BaseModel):
    by: str = Field(description="What people are grouped by.")
    month: str | None = Field(description="The month asked for; null is all time.")
    min_group_size: int = Field(description="Groups of fewer people are hidden.")


class HeartRateGroups(_Groups):
    """Mean heart rate by group: the mean of per-person means, so that people who send more do not count more."""

    groups: list[HeartRateGroup]


class ActivityGroups(_Groups):
    """Mean activity by group: the mean of per-person means over valid days."""

    measure: str
    unit: str = Field(description="Unit of the means, UCUM.")
    groups: list[ActivityGroup]


class WindowFeatures(BaseModel):
    """Features of one second of acceleration; the columns of `analytics.window_features_v1` (see the SQL reference)."""

    model_config = ConfigDict(extra="allow")

    device_id: str
    window_start: datetime = Field(description="Start of the second.")
    n_samples: int = Field(description="Samples, count.")
    coverage: float = Field(description="Share of the second that has samples, 0 to 1.")
    enmo_mg: float | None = Field(description="ENMO, milli-g.")
    provisional: bool = Field(description="True until all data the row depends on are in.")
    revision: int = Field(description="Counts up with each correction.")


class FeaturePage(BaseModel):
    """Windows, oldest first."""

    items: list[WindowFeatures]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")
    as_of: datetime | None = Field(
        description="The instant of which this was said; null for now. Where `said_from` of an item is null, it is not "
        "known since when it had been said."
    )


class Anomaly(BaseModel):
    """An event found in the signals; the columns of `analytics.anomalies_v1`."""

    model_config = ConfigDict(extra="allow")

    device_id: str
    kind: str = Field(description="What was found, such as spike.")
    window_start: datetime = Field(description="Window in which it began.")
    started_at: datetime = Field(description="Its first sample, or its first minute.")
    ended_at: datetime = Field(description="Its end; the newest known one while provisional.")
    duration_ms: float = Field(description="How long it lasted, milliseconds.")
    peak_g: float | None = Field(description="Largest vector magnitude of a spike, g.")
    extreme_value: float | None = Field(description="The value that stands out most, in extreme_unit.")
    extreme_unit: str | None = Field(description="Unit of extreme_value, UCUM.")
    severity: str = Field(description="info, warning or critical.")
    provisional: bool = Field(description="True while it goes on, or until all data it depends on are in.")


class AnomalyPage(BaseModel):
    """Events, oldest first."""

    items: list[Anomaly]
    next_cursor: str | None = Field(description="Where the next page begins; null on the last.")
    as_of: datetime | None = Field(
        description="The instant of which this was said; null for now. Where `said_from` of an item is null, it is not "
        "known since when it had been said."
    )


class WaveformPart(BaseModel):
    """Points from one source, oldest first, a list per column. Null columns are those the source does not tell."""

    source: Literal["lake", "sql"] = Field(description="lake: the raw samples. sql: features per second.")
    level: str = Field(description="What points were read from: `samples`, or cells such as `100 ms`.")
    width_us: int = Field(description="What a point stands for, microseconds; 0 where points are samples.")
    time_us: list[int] = Field(description="Begin of each point, microseconds since 1970.")
    n: list[int] = Field(description="Samples in it, count.")
    x_min_g: list[float] | None = Field(description="Least sample along x, g.")
    x_mean_g: list[float] | None = Field(description="Mean along x, g.")
    x_max_g: list[float] | None = Field(description="Greatest sample along x, g.")
    y_min_g: list[float] | None = Field(description="Least sample along y, g.")
    y_mean_g: list[float] | None = Field(description="Mean along y, g.")
    y_max_g: list[float] | None = Field(description="Greatest sample along y, g.")
    z_min_g: list[float] | None = Field(description="Least sample along z, g.")
    z_mean_g: list[float] | None = Field(description="Mean along z, g.")
    z_max_g: list[float] | None = Field(description="Greatest sample along z, g.")
    vm_min_g: list[float] | None = Field(description="Least vector magnitude, g.")
    vm_mean_g: list[float] | None = Field(description="Mean vector magnitude, g.")
    vm_max_g: list[float] | None = Field(description="Greatest vector magnitude, g.")


class WaveformReply(BaseModel):
    """A device's acceleration over a span, in at most so many points; where nothing was measured there is none."""

    device_id: str
    points: int = Field(description="Points in the answer, at most as many as were asked for.")
    lake_until: datetime | None = Field(
        description="Where the device's newest sample in the lake ends, of the span; later points are from SQL."
    )
    parts: list[WaveformPart]


class CompleteDay(BaseModel):
    """How much of a UTC day a device measured."""

    day: date = Field(description="UTC day.")
    measured_s: float = Field(description="Time that has samples, seconds.")
    share: float = Field(description="Share of the day that has samples, 0 to 1; of today, of the time so far.")
    windows: int = Field(description="Seconds with samples, count.")
    gaps: int = Field(description="Times messages did not come, count.")
    messages_missing: int = Field(description="Messages that did not come, count.")


class Gap(BaseModel):
    """Messages that did not come."""

    boot_id: str = Field(description="Run of the client they belong to.")
    first_sequence: int = Field(description="Sequence number of the first.")
    last_sequence: int = Field(description="Sequence number of the last.")
    after_time: datetime = Field(description="Event time of the last message before them.")
    before_time: datetime = Field(description="Event time of the first message after them.")


class Completeness(BaseModel):
    """How complete a device's days are, oldest first."""

    device_id: str
    as_of: datetime
    values: Values = "now"
    items: list[CompleteDay]
    gaps: list[Gap] = Field(description="The gaps of these days, oldest first.")
    gaps_truncated: bool = Field(description="True where there are more gaps than are listed.")


class RecentAnomaly(BaseModel):
    """An event as the live path announced it."""

    id: str = Field(description="Position in the live list.")
    device_id: str
    kind: str = Field(description="What was found, such as spike.")
    started_at: datetime | None = Field(description="Its first sample, or its first minute.")
    ended_at: datetime | None = Field(description="Its end; the newest known one while it goes on.")
    duration_ms: float | None = Field(description="How long it lasted, milliseconds.")
    peak_g: float | None = Field(description="Largest vector magnitude of a spike, g.")
    extreme_value: float | None = Field(description="The value that stands out most, in extreme_unit.")
    extreme_unit: str | None = Field(description="Unit of extreme_value, UCUM.")
    severity: str | None = Field(description="info, warning or critical.")
    provisional: bool = Field(description="True while it goes on; it comes again when it is over.")


class RecentAnomalies(BaseModel):
    """The newest events, newest first."""

    items: list[RecentAnomaly]


class ModelVersion(BaseModel):
    """A model version."""

    model_config = ConfigDict(extra="allow")

    name: str
    version: str
    state: str = Field(description="candidate, published, refused or retired.")
    in_force: bool = Field(description="True if windows that start at `as_of` are scored with it.")
    effective_from: datetime | None = Field(description="Event time from which it scores.")
    trained_at: datetime
    training_people: int = Field(description="People it was trained on, count.")
    metrics: dict[str, Any] = Field(description="Figures of its evaluation.")


class Models(BaseModel):
    """Model versions, newest first."""

    as_of: datetime
    live: dict[str, dict[str, Any]] = Field(description="Per model, the version the stream scores with.")
    items: list[ModelVersion]


class StageCount(BaseModel):
    """What became of the log positions a consumer read."""

    consumer: str
    topic: str
    outcome: str = Field(description="stored, duplicate, quarantined or dead_lettered.")
    messages: int = Field(description="Log positions, count.")


class Stages(BaseModel):
    """Counts per stage."""

    items: list[StageCount]
