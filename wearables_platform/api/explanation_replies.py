"""What the evidence of a daily number looks like. Instants are UTC, RFC 3339."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field


class ActivityNumbers(BaseModel):
    """All numbers of a day's activity, and by what they were computed."""

    wear: str = Field(description="valid, short or not_worn.")
    coverage: float = Field(description="Share of the day that has samples, 0 to 1.")
    windows: int = Field(description="Seconds that have data, count.")
    worn_s: int = Field(description="Worn, seconds.")
    not_worn_s: int = Field(description="Not worn, seconds.")
    wear_unknown_s: int = Field(description="Not known whether worn, seconds.")
    unclassified_s: int = Field(description="Too few samples for an intensity, seconds.")
    steps: int | None = Field(description="Steps found in acceleration, steps.")
    sedentary_s: int | None = Field(description="Sedentary, seconds.")
    light_s: int | None = Field(description="Light activity, seconds.")
    moderate_s: int | None = Field(description="Moderate activity, seconds.")
    vigorous_s: int | None = Field(description="Vigorous activity, seconds.")
    mvpa_s: int | None = Field(description="Moderate and vigorous activity, seconds.")
    enmo_used_mean_mg: float | None = Field(description="Mean ENMO of the seconds used, milli-g.")
    device_ids: list[str] = Field(description="Devices whose windows are counted.")
    cut_points: str = Field(description="Name of the cut points between intensities.")
    definition_version: str = Field(description="Version of the definition.")
    run_id: str = Field(description="Run that wrote it.")


class Revision(BaseModel):
    """What was said of a day, and from when to when."""

    revision: int = Field(description="Counts up with each correction, from 1.")
    said_from: datetime | None = Field(description="Since when; null where that is not known.")
    said_until: datetime | None = Field(description="Until when; null while it is still said.")
    superseded_because: str | None = Field(description="Why it was superseded; null while it is still said.")
    value: float | None = Field(description="The number; null where nothing was measured.")
    final: bool = Field(description="Whether it was final then.")
    origin: str = Field(description="Who computed it: stream or batch.")
    activity: ActivityNumbers | None = Field(None, description="Of activity: all its numbers.")


class ContributingWindows(BaseModel):
    """Seconds of one device that went through one version of the code."""

    device_id: str
    feature_version: str = Field(description="Version of the features.")
    origin: str = Field(description="Who wrote them: stream or batch.")
    windows: int = Field(description="Seconds with data while the device was worn by the participant, count.")
    used: int = Field(description="Of these, seconds that have an intensity, count.")
    worn: int = Field(description="Of those that count for the day, seconds judged worn, count.")
    wear_unknown: int = Field(description="Of those that count, seconds of which it is not known, count.")
    first_time: datetime = Field(description="Begin of the first.")
    last_time: datetime = Field(description="Begin of the last.")
    greatest_revision: int = Field(description="Highest revision among them.")


class Contribution(BaseModel):
    """Clean readings of one device that went through one version of the code."""

    device_id: str
    cleaned_by: str = Field(description="Version of the code that let them through.")
    origin: str = Field(description="Who wrote them: stream or batch.")
    readings: int = Field(description="Readings, or reported spans of steps, count.")
    messages: int = Field(description="Messages they came in, count.")
    first_time: datetime = Field(description="Time of the first.")
    last_time: datetime = Field(description="Time of the last.")
    greatest_revision: int = Field(description="Above 1 where a reading was corrected.")


class Exclusion(BaseModel):
    """Readings, or seconds of activity, that a rule did not let through."""

    device_id: str
    rule: str = Field(description="Name of the rule.")
    readings: int = Field(description="Readings, or seconds, count.")
    least: float | None = Field(description="Least of the values excluded.")
    greatest: float | None = Field(description="Greatest of them.")


class Definition(BaseModel):
    """By what the day was last computed."""

    definition_version: str = Field(description="Version of the definition.")
    run_id: str = Field(description="Run that last changed the row.")
    resting_method: str | None = Field(None, description="How resting heart rate was found.")
    cut_points: str | None = Field(None, description="Of activity: name of the cut points between intensities.")


class Explanation(BaseModel):
    """A daily number and its evidence."""

    participant_id: str
    local_day: date
    number: str
    unit: str = Field(description="Unit of the values, UCUM.")
    as_of: datetime = Field(description="The instant the answer is for.")
    said_then: Revision | None = Field(description="What was said at `as_of`; null where nothing was.")
    revisions: list[Revision] = Field(description="Everything said up to `as_of`, newest first.")
    coverage: float | None = Field(description="Share of the day the present readings stand for, 0 to 1.")
    contributions: list[Contribution] = Field(description="The clean readings of the day, as they are now.")
    windows: list[ContributingWindows] = Field(description="Of activity: the seconds of the day, as they are now.")
    exclusions: list[Exclusion] = Field(description="What was not let through, by rule.")
    definition: Definition | None = Field(description="Of heart rate, activity: what it was computed by.")
