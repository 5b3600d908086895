"""A version of a device's software that shifts a feature is found with its size; one that does not is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from wearables_platform.clients.lake import open_lake
from wearables_platform.models.drift import HOUR_US, MIN_HOURS, MIN_PEOPLE, Hour, gather_hours, shifts
from wearables_platform.models.training_set import Wear
from wearables_platform.signals.windows import WINDOW_US
from wearables_platform.wire.feature_schema import WINDOWS_DATASET, window_table
from wearables_platform.wire.lake_schemas import STATUS_DATASET
from wearables_platform_tests.model_windows import DAY_US, device_ids, draw_windows, person_of, worn_by_one_each

FIRST_HOUR = DAY_US // HOUR_US


def hours(people: int, shift: float, *, seed: int = 3, hours_each: int = 12, other_people: bool = False) -> list[Hour]:
    """A day under 1.0 and a day under 1.1, which measures `shift` times as much ENMO; people differ far more."""
    random = np.random.default_rng(seed)
    levels = random.uniform(20, 80, people)
    found = []
    for day, (version, factor) in enumerate((("1.0", 1.0), ("1.1", shift))):
        for number in range(people):
            for of_day in range(hours_each):
                usual = levels[number] * (1 + of_day) * random.lognormal(0, 0.03)
                person = f"p{number + (100 if other_people and day else 0)}"
                means = {"enmo_mg": usual * factor, "mad_mg": usual, "vm_mean_g": 1.0, "jerk_rms_g_s": usual}
                found.append(Hour("watch-x", person, version, FIRST_HOUR + 24 * day + of_day, means))
    return found


def test_a_shift_of_twelve_percent_is_said_with_its_interval() -> None:
    found = {one.feature: one for one in shifts(hours(8, 1.12))}
    enmo = found["enmo_mg"]
    assert (enmo.version_before, enmo.version_after, enmo.people, enmo.paired) == ("1.0", "1.1", 8, True)
    assert enmo.significant
    assert enmo.shift_percent == pytest.approx(12, abs=2)
    assert enmo.low_percent < 12 < enmo.high_percent
    assert not found["mad_mg"].significant
    assert not found["vm_mean_g"].significant


def test_the_same_data_give_the_same_interval() -> None:
    assert shifts(hours(8, 1.12)) == shifts(list(reversed(hours(8, 1.12))))


def test_a_change_too_small_to_matter_is_not_significant() -> None:
    enmo = next(one for one in shifts(hours(30, 1.03)) if one.feature == "enmo_mg")
    assert enmo.low_percent > 0
    assert not enmo.significant


def test_other_people_are_compared_with_less_confidence() -> None:
    paired = next(one for one in shifts(hours(8, 1.12)) if one.feature == "enmo_mg")
    other = next(one for one in shifts(hours(8, 1.12, other_people=True)) if one.feature == "enmo_mg")
    assert not other.paired
    assert other.high_percent - other.low_percent > paired.high_percent - paired.low_percent


@pytest.mark.parametrize(("people", "hours_each"), [(2, 12), (MIN_PEOPLE - 1, 12), (8, MIN_HOURS - 1)])
def test_too_few_people_or_hours_say_nothing(people: int, hours_each: int) -> None:
    assert shifts(hours(people, 2.0, hours_each=hours_each)) == []


def test_an_interval_of_as_many_people_as_needed_holds_what_it_claims() -> None:
    of_each = [
        next(s for s in shifts(hours(MIN_PEOPLE, 1.12, seed=seed)) if s.feature == "enmo_mg") for seed in range(60)
    ]
    holds = sum(one.low_percent <= 12 <= one.high_percent for one in of_each)
    assert holds >= 54  # 57 of 60 are expected; fewer than 54 have a chance of 3 %


def test_hours_are_gathered_under_one_known_version_of_known_wearers(tmp_path: Path) -> None:
    lake, day = open_lake(tmp_path.as_uri()), "2025-03-30"
    drawn = draw_windows(3, people=3, per_person=700)
    edition, columns = lake.edition(WINDOWS_DATASET, day), ("window_start", "window_start")
    lake.publish(edition, [window_table(drawn, device_ids(3))], time_columns=columns, versions={"features": "2"})
    said = [("watch-00", 0, "1.0"), ("watch-01", 0, "1.0"), ("watch-01", 300 * WINDOW_US, "1.1"), ("watch-02", 0, "")]
    write_status(lake, day, said)
    found = gather_hours(lake, [day], worn_by_one_each(3), {"watch-00": "watch-x"})
    assert [(one.device_model, one.person, one.version, one.hour) for one in found] == [
        ("watch-x", person_of("watch-00"), "1.0 f7", FIRST_HOUR)  # the others changed in that hour, or never said
    ]
    mine = drawn.device == 0
    assert found[0].means["enmo_mg"] == pytest.approx(float(drawn["enmo_mg"][mine].mean()))
    part = Wear("watch-00", "p", DAY_US + 10 * WINDOW_US, 2**62)
    assert gather_hours(lake, [day], [part], {}) == []


def write_status(lake: object, day: str, said: list[tuple[str, int, str]]) -> None:
    from wearables_platform.clients.lake import Lake
    from wearables_platform.domain.channels import STATUS
    from wearables_platform.wire.raw_messages import TIME_SPAN, raw_rows, sorted_messages
    from wearables_platform.wire.v1.telemetry_pb2 import DeviceStatus

    assert isinstance(lake, Lake)
    documents = []
    for number, (device_id, after_us, version) in enumerate(said):
        status = DeviceStatus(
            device_id=device_id, boot_id=1, sequence=number, start_time_us=DAY_US + after_us,
            client_version=version, firmware="f7" if version else "",
        )  # fmt: skip
        documents.append({
            "_id": f"{device_id}:{number}", "payload": status.SerializeToString(), "payload_sha256": "0" * 64,
            "append_time_us": DAY_US, "topic": STATUS.topic, "partition": 0, "offset": number,
        })  # fmt: skip
    table: pa.Table = sorted_messages([raw_rows(STATUS, documents)])
    lake.publish(lake.edition(STATUS_DATASET, day), [table], time_columns=TIME_SPAN, versions={})
