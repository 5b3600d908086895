"""Heart-rate zones: shares of the heart-rate reserve, and the greatest heart rate expected at an age."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ADULT_AGES: Final = (18, 110)
"""Ages in years the formulas are for, both included."""


@dataclass(frozen=True)
class HeartZones:
    """Where zones begin, as shares of the heart-rate reserve (rate - resting) / (max - resting); max = a - b * age.

    Attributes
    ----------
    name
        Stored with every result.
    max_at_birth_bpm, max_loss_per_year_bpm
        a and b of the greatest heart rate expected.
    light, moderate, vigorous, near_maximal
        Share of the reserve at which each zone begins; below light is very light.

    References
    ----------
    Garber et al. 2011, Med Sci Sports Exerc 43:1334 (ACSM: light 30-39 %, moderate 40-59 %, vigorous 60-89 %).
    Tanaka et al. 2001, J Am Coll Cardiol 37:153 (208 - 0.7 age, adults).
    """

    name: str
    max_at_birth_bpm: float
    max_loss_per_year_bpm: float
    light: float
    moderate: float
    vigorous: float
    near_maximal: float

    def predicted_max_bpm(self, age_years: int) -> float | None:
        """Return the greatest heart rate expected, None outside the ages the formula is for.

        >>> DEFAULT_HEART_ZONES.predicted_max_bpm(40), DEFAULT_HEART_ZONES.predicted_max_bpm(12)
        (180.0, None)
        """
        low, high = ADULT_AGES
        if not low <= age_years <= high:
            return None
        return self.max_at_birth_bpm - self.max_loss_per_year_bpm * age_years


DEFAULT_HEART_ZONES: Final = HeartZones("acsm-reserve-tanaka", 208.0, 0.7, 0.30, 0.40, 0.60, 0.90)
