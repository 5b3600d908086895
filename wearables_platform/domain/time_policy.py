"""One policy for time.

Event time is the device's wall clock. Impossible times are quarantined with a reason: the gateways know when a device
was registered and mark such records with a header; every consumer also applies `impossible_time`, which needs nothing
but the record itself, so that all of them decide alike and a replay decides the same again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from wearables_platform.domain.reasons import QuarantineReason

US_PER_S = 1_000_000
US_PER_DAY = 86_400 * US_PER_S
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARANTINE_PARTITION = "quarantine"

# No consumer smartwatch streamed acceleration before this; catches clocks at 1970, and seconds or milliseconds
# sent as microseconds.
EARLIEST_EVENT_US = int((datetime(2010, 1, 1, tzinfo=UTC) - EPOCH) / timedelta(microseconds=1))
# A device's clock may run ahead of ours; an hour covers a forgotten daylight-saving change.
FUTURE_TOLERANCE_US = 3_600 * US_PER_S
# Readings a watch recorded before it was enrolled may be uploaded after.
REGISTRATION_SPAN_US = 30 * US_PER_DAY
# Wall clock minus monotonic clock moves by drift (ppm) between two messages of a boot; more than this is a step.
CLOCK_STEP_TOLERANCE_US = 500_000
# Late uploads of a local day's evening are in when it has been over for so long.
SETTLED_AFTER = timedelta(hours=24)
# A heart-rate reading stands for the time to the next one, up to twice the slowest rhythm common on wrists (5 minutes):
# a single reading that is missing leaves no hole, an hour without the watch does.
LONGEST_READING_S = 600


def to_us(moment: datetime) -> int:
    """Convert an aware datetime to microseconds since the epoch.

    Raises
    ------
    ValueError
        `moment` has no time zone.
    """
    if moment.tzinfo is None:
        msg = f"{moment!r} has no time zone"
        raise ValueError(msg)
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(time_us: int) -> datetime:
    """Convert microseconds since the epoch to an aware UTC datetime, exactly (no float in between)."""
    return EPOCH + timedelta(microseconds=int(time_us))


def event_day(time_us: int) -> str:
    """Return the UTC day of an instant as ``YYYY-MM-DD``.

    >>> event_day(1_774_742_400_000_000)
    '2026-03-29'
    """
    return from_us(time_us - time_us % US_PER_DAY).date().isoformat()


def impossible_time(start_us: int, append_us: int) -> QuarantineReason | None:
    """Judge an event time by the record alone: `start_us` against the log's append time."""
    if start_us < EARLIEST_EVENT_US:
        return QuarantineReason.TIME_BEFORE_EPOCH_OF_USE
    if start_us > append_us + FUTURE_TOLERANCE_US:
        return QuarantineReason.TIME_IN_FUTURE
    return None


def impossible_times(start_us: npt.NDArray[np.int64], append_us: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Vectorised `impossible_time`: (N,) int64 and (N,) int64 to (N,) bool."""
    return (start_us < EARLIEST_EVENT_US) | (start_us > append_us + FUTURE_TOLERANCE_US)


def registration_verdict(start_us: int, registered_us: int) -> QuarantineReason | None:
    """Judge an event time by the device's registration; the gateways put the answer in the record's header.

    A time that no device can have keeps its own reason, which `impossible_time` gives.
    """
    if EARLIEST_EVENT_US <= start_us < registered_us - REGISTRATION_SPAN_US:
        return QuarantineReason.BEFORE_REGISTRATION
    return None
