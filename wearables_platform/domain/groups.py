"""Age bands and cut points: the groupings people are compared in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AGE_BANDS: Final = ((18, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 120))


def age_band(age_years: int) -> str | None:
    """Return the band an age falls in ("18-29" ... "70+"), None below 18.

    >>> age_band(35), age_band(80), age_band(12)
    ('30-39', '70+', None)
    """
    for low, high in AGE_BANDS:
        if low <= age_years <= high:
            return f"{low}+" if high == AGE_BANDS[-1][1] else f"{low}-{high}"
    return None


@dataclass(frozen=True)
class CutPoints:
    """ENMO limits between intensities, milli-g; they belong to a device, a place on the body and an age group."""

    name: str
    light_mg: float
    moderate_mg: float
    vigorous_mg: float


# Migueles et al., non-dominant wrist, adults; scikit-digital-health's default.
DEFAULT_CUT_POINTS: Final = CutPoints("migueles-wrist-adult", 50.0, 110.0, 440.0)
# Hildebrand et al. 2014, 2017, wrist, adults, per make of device. Those of Esliger et al. are of the absolute
# difference to 1 g, which is another quantity than ENMO, and so are not here.
CUT_POINTS: Final = {
    each.name: each
    for each in (
        DEFAULT_CUT_POINTS,
        CutPoints("hildebrand-actigraph-wrist-adult", 44.8, 100.6, 428.8),
        CutPoints("hildebrand-geneactiv-wrist-adult", 45.8, 93.2, 418.3),
    )
}
