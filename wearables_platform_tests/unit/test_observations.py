"""Observations: what nobody has read is counted in records and in seconds; what stays the same is not said again."""

from __future__ import annotations

from typing import Any

import dagster as dg

from wearables_platform.assets.ingest.observations import REPEAT_S, lag, worth_saying

NOW_US = 1_000_000_000
OURS = ("wearables.acceleration.v1", 0)
OTHER = ("wearables.acceleration.v1", 1)


class Log:
    """Says when the log took a record: record n at n seconds."""

    def append_time_us(self, position: tuple[str, int], offset: int) -> int:
        del position
        return offset * 1_000_000


def lag_of(ends: Any, read: Any) -> tuple[int, float]:
    found = lag("archive", ends, read, Log(), NOW_US)  # type: ignore[arg-type]
    return found["archive_lag_records"], found["archive_lag_s"]


def test_a_reader_at_the_end_has_no_lag() -> None:
    assert lag_of({OURS: (0, 900), OTHER: (5, 5)}, {OURS: 900}) == (0, 0.0)


def test_lag_is_the_records_not_read_and_the_age_of_the_oldest_of_them() -> None:
    assert lag_of({OURS: (0, 950), OTHER: (100, 930)}, {OURS: 940, OTHER: 920}) == (20, 80.0)


def test_a_reader_that_never_began_waits_for_the_whole_log() -> None:
    assert lag_of({OURS: (40, 50)}, {}) == (10, 960.0)


def observed(documents: int) -> dg.AssetObservation:
    return dg.AssetObservation("acceleration", metadata={"documents": documents})


def test_what_stays_the_same_is_said_again_only_after_a_quarter_of_an_hour() -> None:
    said, cursor = worth_saying([observed(3)], None, 1_000.0)
    assert len(said) == 1
    said, cursor = worth_saying([observed(3)], cursor, 1_060.0)
    assert said == []
    said, cursor = worth_saying([observed(4)], cursor, 1_120.0)
    assert len(said) == 1
    said, cursor = worth_saying([observed(4)], cursor, 1_120.0 + REPEAT_S)
    assert len(said) == 1
