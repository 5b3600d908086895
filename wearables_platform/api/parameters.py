"""What requests may ask: every path and query parameter with its grammar and bounds. An unknown one is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from wearables_platform.domain.identity import DEVICE_ID_PATTERN

MAX_PAGE = 1_000
DEFAULT_PAGE = 100
# One request, one row per day: a year and a leap day.
MAX_DAYS = 366
# One row per hour: a month and a day over.
MAX_HOURLY_DAYS = 32
MAX_POINTS = 10_000
MAX_GAPS = 1_000
MAX_STREAM_DEVICES = 20_000
MAX_FULL_ROWS = 1_000

# Far beyond any reading; within, no time zone and no span of days leaves the calendar.
FIRST_YEAR = 1900
END_YEAR = 2200


def _is_written_out(value: object) -> object:
    """Refuse numbers, which would be read as seconds since 1970, or milliseconds where they are large."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d", value):
        msg = "must begin with a date, YYYY-MM-DD"
        raise ValueError(msg)
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_is_written_out),
    Field(ge=datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), lt=datetime(END_YEAR, 1, 1, tzinfo=UTC)),
]
Day = Annotated[date, BeforeValidator(_is_written_out), Field(ge=date(FIRST_YEAR, 1, 1), lt=date(END_YEAR, 1, 1))]
Identifier = Annotated[str, Field(pattern=DEVICE_ID_PATTERN)]
AsOf = Annotated[
    Instant | None,
    Field(description="Answer as if it were this instant (RFC 3339, with offset). Default: now."),
]


SaidAsOf = Annotated[
    Instant | None,
    Field(description="Answer with what was said at this instant (RFC 3339, with offset). Default: what is said now."),
]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DevicePath(BaseModel):
    """A device in the path."""

    device_id: Identifier = Field(description="The device's id.")


class ParticipantPath(BaseModel):
    """A participant in the path."""

    participant_id: Identifier = Field(description="The participant's pseudonym.")


class Page(_Query):
    """How much, and from where."""

    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE, description="Rows per page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


def _ends_after_it_starts(value: datetime | None, info: ValidationInfo) -> datetime | None:
    start = info.data.get("from_time")
    if value is not None and start is not None and value <= start:
        msg = "must be later than `from`"
        raise ValueError(msg)
    return value


class TimeRange(Page):
    """A page of a half-open range of event time."""

    from_time: Instant | None = Field(
        None, alias="from", description="First instant (RFC 3339, with offset). Default: open."
    )
    to_time: Instant | None = Field(
        None, alias="to", description="End of the range, exclusive (RFC 3339, with offset). Default: open."
    )
    _check = field_validator("to_time")(_ends_after_it_starts)


class WaveformQuery(_Query):
    """A span of a device's signal, drawn in so many points."""

    from_time: Instant = Field(alias="from", description="First instant (RFC 3339, with offset).")
    to_time: Instant = Field(alias="to", description="End of the span, exclusive (RFC 3339, with offset).")
    points: int = Field(2_000, ge=10, le=MAX_POINTS, description="Most points in the answer.")
    _check = field_validator("to_time")(_ends_after_it_starts)


class SignalRange(TimeRange):
    """A page of what was found in signals."""

    as_of: SaidAsOf = None


class AnomalyRange(SignalRange):
    """A page of events."""

    kind: str | None = Field(
        None, pattern=r"^[a-z0-9_]{1,64}$", description="Only events of this kind, such as `spike`."
    )


def _is_a_bounded_range(value: date | None, info: ValidationInfo) -> date | None:
    start = info.data.get("from_day")
    if value is not None and start is not None:
        days = (value - start).days + 1
        if not 1 <= days <= MAX_DAYS:
            msg = f"must be 1 to {MAX_DAYS} days from `from` on, both included; this is {days}"
            raise ValueError(msg)
    return value


class DayRange(_Query):
    """Local days of a participant."""

    from_day: Day | None = Field(
        None, alias="from", description="First local day. Default: 29 days before `to`, so 30 days in all."
    )
    to_day: Day | None = Field(
        None, alias="to", description="Last local day, included. Default: the local day of `as_of`."
    )
    as_of: AsOf = None

    _check = field_validator("to_day")(_is_a_bounded_range)


class ExplainQuery(_Query):
    """A number of one local day."""

    day: Day = Field(description="The local day.")
    number: Literal["steps", "heart_rate", "activity"] = Field(description="Which of the day's numbers.")
    as_of: AsOf = None


class DayPage(DayRange):
    """A page of what happened in local days."""

    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE, description="Rows per page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


class HourRange(DayRange):
    """Local days of a participant, hour by hour."""

    from_day: Day | None = Field(None, alias="from", description="First local day. Default: `to`.")


ExportFormat = Annotated[
    Literal["csv", "ndjson", "parquet"], Field(description="csv, ndjson (a JSON object per line) or parquet.")
]


class SignalExport(_Query):
    """Everything of a span of event time."""

    from_time: Instant = Field(alias="from", description="First instant (RFC 3339, with offset).")
    to_time: Instant = Field(alias="to", description="End of the span, exclusive (RFC 3339, with offset).")
    device: Identifier | None = Field(None, description="One device only.")
    format: ExportFormat = "ndjson"
    _check = field_validator("to_time")(_ends_after_it_starts)


class PeopleDays(_Query):
    """Some local days of everybody, or of one."""

    from_day: Day = Field(alias="from", description="First local day.")
    to_day: Day = Field(alias="to", description="Last local day, included.")
    participant: Identifier | None = Field(None, description="One participant only.")
    _check = field_validator("to_day")(_is_a_bounded_range)


class DayExport(PeopleDays):
    """Everything of some local days."""

    format: ExportFormat = "ndjson"


class PeopleSpan(_Query):
    """A span of event time of everybody, or of one."""

    from_time: Instant = Field(alias="from", description="First instant (RFC 3339, with offset).")
    to_time: Instant = Field(alias="to", description="End of the span, exclusive (RFC 3339, with offset).")
    participant: Identifier | None = Field(None, description="One participant only.")
    _check = field_validator("to_time")(_ends_after_it_starts)


class CompletenessQuery(DayRange):
    """UTC days of a device."""

    from_day: Day | None = Field(None, alias="from", description="First UTC day. Default: 29 days before `to`.")
    to_day: Day | None = Field(None, alias="to", description="Last UTC day, included. Default: the day of `as_of`.")


class LatestQuery(_Query):
    """How the age of a value is judged."""

    as_of: AsOf = None


GroupedBy = Literal["age_group", "sex", "device_model"]


class CohortQuery(_Query):
    """A published mean over people.

    Periods are whole months and never overlap: free bounds would let a caller move one day at a time and read the
    difference, which is a single person's value.
    """

    by: GroupedBy = Field("age_group", description="What people are grouped by.")
    month: str | None = Field(
        None,
        pattern=r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])$",
        description="One calendar month of local days, `YYYY-MM`. Default: all time.",
    )


class ActivityCohortQuery(CohortQuery):
    """A published mean of activity over people."""

    measure: Literal["mvpa", "steps", "enmo"] = Field(
        "mvpa", description="Per valid day: minutes of moderate or vigorous activity, steps, or mean ENMO in milli-g."
    )


class ModelQuery(_Query):
    """Which instant "in force" is judged at."""

    as_of: AsOf = None


class RecentQuery(_Query):
    """The newest events."""

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="How many, newest first.")


class StreamQuery(_Query):
    """What a live stream carries."""

    device: Identifier | None = Field(None, description="Device whose trace is sent along.")
    limit: int = Field(
        200,
        ge=1,
        le=MAX_STREAM_DEVICES,
        description=f"Devices in the overview: those seen last. More than {MAX_FULL_ROWS:,} need `rows=compact`.",
    )
    rows: Literal["full", "compact"] = Field(
        "full", description="full: the fields of `latest`. compact: lists in the order of `columns`, see `hello`."
    )
