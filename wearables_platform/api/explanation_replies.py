"""What the evidence of a daily number looks like. Instants are UTC, RFC 3339."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel, Field


class Revision(BaseModel):
    """What was said of a day, and from when to when."""

    revision: int = Field(description="Counts up with each correction, from 1.")
    said_from: datetime | None = Field(description="Since when; null where that is not known.")
    said_until: datetime | None = Field(description="Until when; null while it is still said.")
    superseded_because: str | None = Field(description="Why it was superseded; null while it is still said.")
    value: float | None = Field(description="The number; null where nothing was measured.")
    final: bool = Field(description="Whether it was final then.")
    origin: str = Field(description="Who computed it: stream or batch.")


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
    """Readings a rule did not let through."""

    device_id: str
    rule: str = Field(description="Name of the rule.")
    readings: int = Field(description="Readings, count.")
    least: float | None = Field(description="Least of the values excluded.")
    greatest: float | None = Field(description="Greatest of them.")


class Definition(BaseModel):
    """By what the day was last computed."""

    definition_version: str = Field(description="Version of the definition.")
    run_id: str = Field(description="Run that last changed the row.")
    resting_method: str | None = Field(description="How resting heart rate was found.")


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
    exclusions: list[Exclusion] = Field(description="What was not let through, by rule.")
    definition: Definition | None = Field(description="Of heart rate: the definition it was computed by.")
