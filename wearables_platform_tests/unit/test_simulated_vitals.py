"""Weeks of vitals: local days have the hours their zone gives them, and the truth counts what the messages carry."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from wearables_platform.demo.cast import PEOPLE_PER_BAND, make_cast
from wearables_platform.domain.groups import AGE_BANDS, age_band
from wearables_platform.edge.simulation.vitals import (
    BROKEN_SKIN_RULES,
    DAYS,
    FIRST_DAY,
    SKIN,
    SKIN_DAYS,
    SKIN_PEOPLE,
    Wearer,
    vitals_sources,
    vitals_truth,
)
from wearables_platform.wire.v1 import telemetry_pb2 as pb

WEARERS = [Wearer("p-1", "w-1", 1980, "Europe/Berlin"), Wearer("p-2", "w-2", 1950, "America/New_York")]


def test_the_day_the_clocks_change_is_an_hour_short() -> None:
    hours = {
        source.wearer.participant_id: {day.day: len(day.steps) / 4 for day in source.days()}
        for source in vitals_sources(3, WEARERS)
    }
    assert hours["p-1"][date(2026, 3, 29)] == 23
    assert hours["p-2"][date(2026, 3, 8)] == 23
    assert sum(hour != 24 for days in hours.values() for hour in days.values()) == 2


def test_the_truth_is_what_the_messages_carry_less_what_is_broken() -> None:
    sources = vitals_sources(3, WEARERS)
    truth = vitals_truth(3, sources)
    assert len(truth.steps_per_day) == 2 * DAYS
    for source in sources:
        zone = ZoneInfo(source.wearer.time_zone)
        bpm: dict[int, float] = {}
        steps = 0
        for message in source.messages():
            batch = pb.VitalsBatch.FromString(message.payload)
            bpm |= {r.time_us: r.bpm for r in batch.heart_rate if 30 <= r.bpm <= 220 and 2e15 > r.time_us > 1e15}
            steps += sum(r.count for r in batch.steps if 0 <= r.count <= 250 * (r.end_time_us - r.start_time_us) / 6e7)
        person = source.wearer.participant_id
        assert sum(bpm.values()) / len(bpm) == truth.mean_heart_rate[person]
        assert steps == sum(truth.steps_per_day[f"{person}|{day}"] for day in _days(zone, bpm))


def _days(zone: ZoneInfo, bpm: dict[int, float]) -> list[date]:
    return sorted({datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(zone).date() for time_us in bpm})


def test_a_seed_changes_every_number_and_not_the_cast_sizes() -> None:
    one, two = (vitals_truth(seed, vitals_sources(seed, WEARERS)) for seed in (1, 2))
    assert not {mean for mean in one.mean_heart_rate.values()} & {mean for mean in two.mean_heart_rate.values()}
    for seed in (1, 2):
        bands = [age_band(FIRST_DAY.year - person.birth_year) for person in make_cast(seed).vitals]
        assert tuple(bands.count(age_band(low)) for low, _ in AGE_BANDS) == PEOPLE_PER_BAND
    assert len(make_cast(1).everyone) >= 40
    assert len({person.device_id for person in make_cast(1).everyone}) == len(make_cast(1).everyone)


def test_a_few_people_send_skin_temperature_and_the_truth_counts_it() -> None:
    wearers = [Wearer(f"p-{n}", f"w-{n}", 1980, "Europe/Berlin") for n in range(SKIN_PEOPLE + 1)]
    sources = vitals_sources(3, wearers, days=SKIN_DAYS + 1)
    truth = vitals_truth(3, sources)
    assert len(truth.sensor_days) == SKIN_PEOPLE * SKIN_DAYS
    assert [truth.rejected[rule] for rule in BROKEN_SKIN_RULES] == [len(truth.sensor_days)] * 3
    sent = pb.VitalsBatch.FromString(sources[0].messages()[0].payload).readings
    assert [reading.sensor for reading in sent if reading.sensor != SKIN] == ["skin_temprature"]
    good = [reading.value for reading in sent if reading.sensor == SKIN and 15 <= reading.value <= 45]
    day = truth.sensor_days[f"p-0|{SKIN}|{FIRST_DAY}"]
    assert day == [24 * 60, min(good), max(good), sum(good) / len(good)]
    last = [pb.VitalsBatch.FromString(source.messages()[0].payload).readings for source in sources][-1]
    assert not last
