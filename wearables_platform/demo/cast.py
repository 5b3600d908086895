"""Who takes part in the demo: made-up people of every age band, one band too small to be published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np

from wearables_platform.domain.groups import AGE_BANDS
from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.simulation.vitals import FIRST_DAY, Wearer

STUDY: Final = "demo"
TIME_ZONES: Final = ("Europe/Berlin", "America/New_York")
# Worn in real time, now: what is in force changes at an instant ahead of now, so only they can show it.
WORN_NOW: Final = tuple(f"now-{number:02d}" for number in range(1, 4))
RECORDED_PEOPLE: Final = 10  # as many as the recordings hold
FLEET_DEVICES: Final = 6
# People who send heart rate and steps, by age band; the last is below the minimum group size of five, and the one
# before it is hidden with it: the whole less all the others would be those three.
PEOPLE_PER_BAND: Final = (9, 8, 8, 6, 5, 3)
REGISTERED_AT: Final = datetime(2026, 2, 20, tzinfo=UTC)

# Everything happens on fixed days. The recordings have a day of their own. The fleet crosses a UTC hour and Europe's
# clock change on the next day, whose windows are scored by the model that is trained on the recordings.
RECORDINGS_START: Final = datetime(2026, 3, 28, 9, tzinfo=UTC)
SCORED_FROM: Final = datetime(2026, 3, 29, tzinfo=UTC)
FLEET_START_US: Final = to_us(datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC))


class Person(NamedTuple):
    """One participant and the device worn."""

    participant_id: str
    device_id: str
    device_model: str
    birth_year: int
    sex: str
    time_zone: str

    @property
    def wearer(self) -> Wearer:
        """What the vitals simulation needs to know."""
        return Wearer(self.participant_id, self.device_id, self.birth_year, self.time_zone)


class Cast(NamedTuple):
    """Everybody, by what their device does."""

    recorded: tuple[Person, ...]
    fleet: tuple[Person, ...]
    vitals: tuple[Person, ...]

    @property
    def everyone(self) -> tuple[Person, ...]:
        """All participants."""
        return (*self.recorded, *self.fleet, *self.vitals)


def make_cast(seed: int) -> Cast:
    """Draw the people; who does what is fixed, ages and time zones within a band depend on the seed."""
    rng = np.random.default_rng([seed, 4])
    bands = [band for band, people in zip(AGE_BANDS, PEOPLE_PER_BAND, strict=True) for _ in range(people)]
    adults = (25, 60)
    return Cast(
        tuple(_person(rng, "watch", n, "real-watch-50hz", adults) for n in range(1, RECORDED_PEOPLE + 1)),
        tuple(_person(rng, "sim", n, "simulated-16k", adults) for n in range(1, FLEET_DEVICES + 1)),
        tuple(_person(rng, "vital", n, "simulated-vitals", band) for n, band in enumerate(bands, 1)),
    )


def _person(rng: np.random.Generator, kind: str, number: int, model: str, ages: tuple[int, int]) -> Person:
    age = int(rng.integers(ages[0], min(ages[1], 90) + 1))
    sex = str(rng.choice(["female", "male"]))
    name = f"{kind}-{number:02d}"
    return Person(f"p-{name}", name, model, FIRST_DAY.year - age, sex, TIME_ZONES[number % len(TIME_ZONES)])
