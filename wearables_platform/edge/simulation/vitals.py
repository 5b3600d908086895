"""Heart rate and steps of many people over weeks of fixed calendar days, and skin temperature of a few.

The truth needs no pipeline: values are drawn on grids that binary floating point holds exactly (half beats per minute,
sixteenths of a degree), so that a mean computed here and one computed by SQL may be compared to the last digits.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from wearables_platform.domain.groups import age_band
from wearables_platform.domain.identity import MessageIdentity, boot_text, replay_boot_id
from wearables_platform.domain.reasons import QuarantineReason
from wearables_platform.domain.time_policy import US_PER_S, to_us
from wearables_platform.edge.messages import (
    EncodedMessage,
    HeartRateReading,
    SensorReading,
    StepReading,
    Vitals,
    encode_vitals,
)
from wearables_platform.edge.simulation.truth import MessageTruth

# Europe changes its clocks on 2026-03-29, America on 2026-03-08: both lie inside.
FIRST_DAY: Final = date(2026, 3, 1)
DAYS: Final = 35
HEART_RATE_EVERY_S: Final = 300
STEPS_EVERY_S: Final = 900
BROKEN_CHANCE: Final = 0.2  # of a day to hold broken readings
REPEATED_CHANCE: Final = 0.15  # of a day's last reading to come again the next day
# The rules that must set the broken readings of a day aside, in the order `_broken` makes them.
BROKEN_HEART_RATE: Final = ("heart_rate: below_range", "heart_rate: above_range", "heart_rate: time_in_future")
BROKEN_STEPS: Final = ("steps: above_range", "steps: negative_count")
# The first few people also wear a thermometer for the first few days: enough to show a declared sensor type end to end.
SKIN: Final = "skin_temperature"
SKIN_PEOPLE: Final = 3
SKIN_DAYS: Final = 3
SKIN_EVERY_S: Final = 60
# Of each of these days: two readings no skin has, and one whose sensor somebody misspelt.
BROKEN_SKIN: Final = ((SKIN, 3.0), (SKIN, 61.5), ("skin_temprature", 33.0))
BROKEN_SKIN_RULES: Final = (
    "skin_temperature: below_range",
    "skin_temperature: above_range",
    "undeclared_readings: unknown_sensor",
)


class Wearer(NamedTuple):
    """Who wears which device."""

    participant_id: str
    device_id: str
    birth_year: int
    time_zone: str


@dataclass
class VitalsTruth:
    """What the clean data of everybody must come to."""

    seed: int
    steps_per_day: dict[str, int] = field(default_factory=dict)  # "participant|local day" -> steps
    mean_heart_rate: dict[str, float] = field(default_factory=dict)  # participant -> bpm
    age_group: dict[str, str] = field(default_factory=dict)  # participant -> band
    heart_rate_readings: int = 0
    # "participant|sensor type|local day" -> readings, least, greatest, mean
    sensor_days: dict[str, list[float]] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)  # "quantity: rule" -> readings set aside
    quarantined: list[MessageTruth] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Save as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> VitalsTruth:
        """Load what `write` saved."""
        raw = json.loads(path.read_text())
        return cls(**{**raw, "quarantined": [MessageTruth(*row) for row in raw["quarantined"]]})


@dataclass(frozen=True)
class _Day:
    """One local day's readings: the good ones, and broken ones beside them."""

    day: date
    heart_rate: list[HeartRateReading]
    steps: list[StepReading]
    broken_heart_rate: list[HeartRateReading]
    broken_steps: list[StepReading]
    skin: list[SensorReading]
    broken_skin: list[SensorReading]


class VitalsSource:
    """One person's readings, day by day, and the messages that carry them."""

    def __init__(self, wearer: Wearer, seed: int, number: int, *, days: int = DAYS) -> None:
        self.wearer = wearer
        self._seed = [seed, 77, number]
        self._days = days
        self._skin_days = SKIN_DAYS if number < SKIN_PEOPLE else 0
        self._zone = ZoneInfo(wearer.time_zone)
        self._boot_id = replay_boot_id(wearer.device_id, str(seed).encode(), "vitals")
        rng = np.random.default_rng(self._seed)
        self._resting_bpm = float(rng.integers(104, 150)) / 2  # 52 to 75
        self._busyness = float(rng.uniform(0.6, 1.5))

    def days(self) -> Iterator[_Day]:
        """Make every local day's readings."""
        for number in range(self._days):
            rng = np.random.default_rng([*self._seed, number])
            day = FIRST_DAY + timedelta(days=number)
            begin_us, end_us = self._bounds_us(day)
            yield _Day(
                day,
                self._heart_rate(rng, begin_us, end_us),
                self._steps(rng, begin_us, end_us),
                *(self._broken(rng, begin_us) if rng.random() < BROKEN_CHANCE else ([], [])),
                *(self._skin(number, begin_us, end_us) if number < self._skin_days else ([], [])),
            )

    def messages(self) -> list[EncodedMessage]:
        """Make one message a day, then one that tells of 1970; now and then a reading comes in two messages."""
        made: list[EncodedMessage] = []
        yesterday: HeartRateReading | None = None
        for day in self.days():
            heart_rate = [*day.heart_rate, *day.broken_heart_rate]
            if yesterday is not None and self._repeats(len(made)):
                heart_rate.insert(0, yesterday)
            vitals = Vitals(
                tuple(heart_rate),
                (*day.steps, *day.broken_steps),
                {"firmware_note": "simulated"},
                (*day.skin, *day.broken_skin),
            )
            made.append(encode_vitals(self._identity(len(made)), vitals, len(made) * 86_400 * US_PER_S))
            yesterday = day.heart_rate[-1]
        lost_clock = Vitals((HeartRateReading(1_000_000, 61.0),))
        return [*made, encode_vitals(self._identity(len(made)), lost_clock, len(made) * 86_400 * US_PER_S)]

    def _identity(self, sequence: int) -> MessageIdentity:
        return MessageIdentity(self.wearer.device_id, self._boot_id, sequence)

    @property
    def repeated_readings(self) -> int:
        """How many readings come in two messages."""
        return sum(self._repeats(number) for number in range(1, self._days))

    def _repeats(self, number: int) -> bool:
        return bool(np.random.default_rng([*self._seed, number, 5]).random() < REPEATED_CHANCE)

    def lost_clock_id(self) -> str:
        """Return the identity of the message that must be quarantined."""
        return f"{self.wearer.device_id}:{boot_text(self._boot_id)}:{self._days}"

    def _bounds_us(self, day: date) -> tuple[int, int]:
        """Return begin and end of a local day; 23 or 25 hours apart where the clocks change."""
        midnights = (datetime.combine(each, time(), self._zone) for each in (day, day + timedelta(days=1)))
        begin_us, end_us = (to_us(midnight) for midnight in midnights)
        return begin_us, end_us

    def _heart_rate(self, rng: np.random.Generator, begin_us: int, end_us: int) -> list[HeartRateReading]:
        times = np.arange(begin_us, end_us, HEART_RATE_EVERY_S * US_PER_S)
        active = _daily_rhythm((times - begin_us) / (3_600 * US_PER_S))
        bpm = self._resting_bpm + 28 * active * self._busyness + rng.normal(0, 4, len(times))
        halves = np.clip(np.rint(bpm * 2), 90, 360)
        return [HeartRateReading(int(t), float(half) / 2) for t, half in zip(times, halves, strict=True)]

    def _steps(self, rng: np.random.Generator, begin_us: int, end_us: int) -> list[StepReading]:
        span_us = STEPS_EVERY_S * US_PER_S
        starts = np.arange(begin_us, end_us, span_us)
        active = _daily_rhythm((starts - begin_us) / (3_600 * US_PER_S))
        counts = rng.poisson(180 * active * self._busyness)
        return [StepReading(int(t), int(t) + span_us, int(n)) for t, n in zip(starts, counts, strict=True)]

    def _skin(self, number: int, begin_us: int, end_us: int) -> tuple[list[SensorReading], list[SensorReading]]:
        """Make a local day of skin temperature, warmer at rest, and what must be set aside, at instants of its own."""
        rng = np.random.default_rng([*self._seed, number, 6])
        times = np.arange(begin_us, end_us, SKIN_EVERY_S * US_PER_S)
        active = _daily_rhythm((times - begin_us) / (3_600 * US_PER_S))
        celsius = 34.0 - 2.5 * active + rng.normal(0, 0.3, len(times))
        sixteenths = np.clip(np.rint(celsius * 16), 16 * 20, 16 * 40)
        good = [SensorReading(SKIN, int(t), float(n) / 16) for t, n in zip(times, sixteenths, strict=True)]
        odd_us = begin_us + 7 * US_PER_S
        bad = [SensorReading(name, odd_us + i, value) for i, (name, value) in enumerate(BROKEN_SKIN)]
        return good, bad

    def _broken(self, rng: np.random.Generator, begin_us: int) -> tuple[list[HeartRateReading], list[StepReading]]:
        """Make readings no body produces, at instants of their own: rejecting them must change nothing else."""
        odd_us = begin_us + 77 * US_PER_S + int(rng.integers(0, 100)) * HEART_RATE_EVERY_S * US_PER_S
        far_future_us = to_us(datetime(2106, 2, 7, tzinfo=self._zone))
        heart_rate = [
            HeartRateReading(odd_us, 2.5),
            HeartRateReading(odd_us + US_PER_S, 401.0),
            HeartRateReading(far_future_us, 70.0),
        ]
        minute_us = 60 * US_PER_S
        steps = [
            StepReading(odd_us, odd_us + minute_us, 1_714),
            StepReading(odd_us + 2 * minute_us, odd_us + 3 * minute_us, -12),
        ]
        return heart_rate, steps


def _daily_rhythm(hour: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return how active people are by local hour, 0 to about 1: asleep until six, peaks before noon and after work."""
    morning, evening = np.exp(-(((hour - 10.5) / 3.0) ** 2)), np.exp(-(((hour - 17.5) / 2.5) ** 2))
    return np.where((hour > 6) & (hour < 23), 0.1 + 0.6 * morning + 0.7 * evening, 0.0)


def vitals_sources(seed: int, wearers: Sequence[Wearer], *, days: int = DAYS) -> list[VitalsSource]:
    """Return one source per person."""
    return [VitalsSource(wearer, seed, number, days=days) for number, wearer in enumerate(wearers)]


def vitals_truth(seed: int, sources: Sequence[VitalsSource]) -> VitalsTruth:
    """Add up what the good readings come to, by person and local day."""
    truth = VitalsTruth(seed)
    bpm: dict[str, list[float]] = defaultdict(list)
    broken_days = 0
    for source in sources:
        person = source.wearer.participant_id
        for day in source.days():
            truth.steps_per_day[f"{person}|{day.day}"] = sum(reading.steps for reading in day.steps)
            bpm[person] += [reading.bpm for reading in day.heart_rate]
            broken_days += bool(day.broken_heart_rate)
            if day.skin:
                celsius = [reading.value for reading in day.skin]
                figures = [len(celsius), min(celsius), max(celsius), sum(celsius) / len(celsius)]
                truth.sensor_days[f"{person}|{SKIN}|{day.day}"] = figures
        truth.age_group[person] = age_band(FIRST_DAY.year - source.wearer.birth_year) or ""
        truth.quarantined.append(MessageTruth(source.lost_clock_id(), QuarantineReason.TIME_BEFORE_EPOCH_OF_USE))
    truth.mean_heart_rate = {person: sum(values) / len(values) for person, values in bpm.items()}
    truth.heart_rate_readings = sum(map(len, bpm.values()))
    truth.rejected = dict.fromkeys((*BROKEN_HEART_RATE, *BROKEN_STEPS), broken_days)
    truth.rejected |= dict.fromkeys(BROKEN_SKIN_RULES, len(truth.sensor_days))
    truth.rejected["heart_rate: duplicate_reading"] = sum(source.repeated_readings for source in sources)
    return truth
