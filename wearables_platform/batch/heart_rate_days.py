"""Heart rate per person and local day; the computation is SQL, this gives it its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from wearables_platform.batch.measures import queries
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.groups import DEFAULT_CUT_POINTS
from wearables_platform.domain.heart_zones import ADULT_AGES, DEFAULT_HEART_ZONES
from wearables_platform.domain.time_policy import LONGEST_READING_S
from wearables_platform.partitions import local_days

DEFINITION_VERSION: Final = "daily-heart-rate/1"
# Below so many readings a 5th percentile is hardly more than the least of them.
MIN_RESTING_READINGS: Final = 60
# A minute of which less was measured does not tell whether the watch was still.
MIN_COVERAGE: Final = 0.5


@dataclass(frozen=True)
class Written:
    """The span looked at, the rows it now has, and how many of those are new, changed or gone."""

    first_day: date
    last_day: date
    rows: list[dict[str, Any]]
    changed: int


def write_daily_heart_rate(sql: SqlClient, utc_days: Sequence[str], as_of: datetime, run_id: str) -> Written:
    """Compute every local day these UTC days touch; again, and no row changes."""
    first, last = local_days(utc_days)
    zones = DEFAULT_HEART_ZONES
    with sql.transaction() as connection:
        gone: int = queries.remove_days_without_heart_rate(connection, first_day=first, last_day=last)
        changed: int = queries.compute_daily_heart_rate(
            connection,
            first_day=first,
            last_day=last,
            as_of=as_of,
            longest_s=LONGEST_READING_S,
            min_resting_readings=MIN_RESTING_READINGS,
            still_mg=DEFAULT_CUT_POINTS.light_mg,
            min_coverage=MIN_COVERAGE,
            youngest=ADULT_AGES[0],
            oldest=ADULT_AGES[1],
            max_at_birth=zones.max_at_birth_bpm,
            max_loss_per_year=zones.max_loss_per_year_bpm,
            zones=zones.name,
            light=zones.light,
            moderate=zones.moderate,
            vigorous=zones.vigorous,
            near_maximal=zones.near_maximal,
            definition_version=DEFINITION_VERSION,
            run_id=run_id,
        )
    query = "SELECT * FROM telemetry.daily_heart_rate WHERE local_day BETWEEN %s AND %s ORDER BY 1, 2"
    return Written(first, last, sql.rows(query, (first, last)), gone + changed)
