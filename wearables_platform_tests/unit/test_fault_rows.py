"""Keys, ranges and null ratios of lake rows: what is wrong, how often, and which rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wearables_platform.assets.verdict import offending, offending_faults
from wearables_platform.batch.feature_checks import Fault, faults_of_days
from wearables_platform.batch.null_bounds import FEWEST_ROWS, NULL_BOUNDS, NullBound
from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.wire.rule_schema import ROLLING_SCHEMA, RULE_SCHEMA, WEAR_DATASET, WEAR_SCHEMA

DAY = "2026-03-29"
QUARTER_US = 900_000_000


def wear(rows: int, *, without: int = 0) -> pa.Table:
    starts = day_bounds_us(DAY)[0] + np.arange(rows) % 96 * QUARTER_US
    sd = np.where(np.arange(rows) < without, np.nan, 12.0)
    values = {
        "device_id": [f"watch-{row // 96}" for row in range(rows)],
        "window_start": pa.array(starts).cast(pa.timestamp("us", "UTC")),
        "seconds": np.full(rows, 900, np.int32),
        "still_axes": np.zeros(rows, np.int32),
        "sd_mg": sd,
        "feature_version": ["1"] * rows,
    }
    return pa.table(values, schema=WEAR_SCHEMA)


def faults(lake: Lake, table: pa.Table) -> list[Fault]:
    with lake.writer(lake.edition(WEAR_DATASET, DAY)) as writer:
        writer.write(table)
        writer.publish()
    return faults_of_days("wear", lake, [DAY])[1]


def test_good_rows_have_no_fault(tmp_path: Path) -> None:
    # A day of short recordings: of none of them is an hour known.
    assert faults(open_lake(tmp_path.as_uri()), wear(200, without=200)) == []


def test_a_share_of_missing_values_over_its_bound_is_told_with_its_reason_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {**NULL_BOUNDS, "wear": {"sd_mg": NullBound(0.5, "told in words")}}
    monkeypatch.setattr("wearables_platform.batch.null_bounds.NULL_BOUNDS", bounds)
    (fault,) = faults(open_lake(tmp_path.as_uri()), wear(200, without=101))
    assert fault.what == ("sd_mg is missing in 101 of 200 rows, at most 50% may be: told in words")
    assert (fault.count, len(fault.rows), fault.rows[0]["device_id"]) == (101, 20, "watch-0")


def test_a_few_rows_are_not_judged_by_share(tmp_path: Path) -> None:
    assert faults(open_lake(tmp_path.as_uri()), wear(FEWEST_ROWS - 10, without=FEWEST_ROWS - 10)) == []


def test_a_key_that_occurs_twice_is_told_once_with_its_row(tmp_path: Path) -> None:
    table = pa.concat_tables([wear(96), wear(96).slice(5, 1)])
    (fault,) = faults(open_lake(tmp_path.as_uri()), table)
    assert (fault.what, fault.count, fault.rows[0]["device_id"]) == ("the key occurs more than once", 1, "watch-0")


def test_rows_are_shown_capped_and_counted() -> None:
    rows = [{"fault": "missing", "of": f"message-{n}"} for n in range(50)]
    shown = offending(rows)
    assert shown["offending"] == 50
    assert shown["offending_rows"].value.count("message-") == 20
    assert offending([]) == {"offending": 0}
    told = offending_faults([Fault(DAY, "sd_mg is outside", 7, ({"device_id": "watch-1"},))])
    assert told["offending"] == 7
    assert "sd_mg is outside** (7 rows)" in told["offending_rows"].value
    assert "| watch-1 |" in told["offending_rows"].value


def test_every_bound_is_a_share_of_a_column_with_a_reason() -> None:
    for name, schema in (("wear", WEAR_SCHEMA), ("rule_events", RULE_SCHEMA), ("rolling_features", ROLLING_SCHEMA)):
        assert NULL_BOUNDS[name].keys() <= set(schema.names)
    for bounds in NULL_BOUNDS.values():
        assert all(0 < bound.share <= 1 and len(bound.reason) > 10 for bound in bounds.values())
