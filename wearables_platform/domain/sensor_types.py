"""What a file must say of a type of sensor, so that its readings are taken in, judged, aggregated and shown.

Readings of such types travel in ``VitalsBatch.readings``: one number per channel and instant. What needs more than a
number and a range (acceleration, heart rate, steps) has message fields and code of its own (`domain.channels`).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

# Names of sensors and channels are parts of names of assets, keys and columns: no upper case, no dash, no dot.
NAME: Final = "[a-z][a-z0-9_]{0,62}"
AGGREGATES: Final = ("mean", "min", "max", "std", "p05", "p50", "p95")
# A device's newest values are kept and read a channel at a time: as many as an EEG cap has, no accidental thousands.
MAX_CHANNELS: Final = 64
# "[^@]+@..." as an e-mail address, or a team: what Dagster takes for an owner.
_OWNER: Final = r"team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+"


@dataclass(frozen=True, kw_only=True)
class SensorType:
    """One type of sensor as a ``defs.yaml`` declares it; a value that breaks a rule is refused by name.

    Parameters
    ----------
    name
        What devices write into ``SensorReading.sensor``; the assets are called after it.
    title
        A few words for people, such as "Skin temperature".
    unit
        Unit of every value, UCUM (``Cel``, ``lx``, ``%``).
    low, high
        The range, ends included, that a value may have; what is outside is set aside by name.
    rate_per_hour
        Readings a channel gives in an hour of wear; coverage is counted against it.
    owner
        Who answers for the numbers: ``team:name`` or an e-mail address.
    channels
        Names of the numbers a reading may have, at most `MAX_CHANNELS`; an empty channel on the wire means the first.
    aggregates
        What hours and days say beside the number of readings: any of `AGGREGATES`.
    fresh_within_h
        The newest day built may be this old, hours, before the assets count as stale.
    max_rejected_share
        Above this share of readings set aside (repeats not counted), 0 to 1, nothing is built on the day.

    Examples
    --------
    >>> light = SensorType(name="light", title="Light", unit="lx", low=0, high=1e5, rate_per_hour=60, owner="team:a")
    >>> light.channels, light.aggregates
    (('value',), ('mean', 'min', 'max'))
    """

    name: str
    title: str
    unit: str
    low: float
    high: float
    rate_per_hour: float
    owner: str
    channels: tuple[str, ...] = ("value",)
    aggregates: tuple[str, ...] = ("mean", "min", "max")
    fresh_within_h: float = 26.0
    max_rejected_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for key, good, rule in self._rules():
            if not good:
                msg = f"{key}: {getattr(self, key)!r} {rule}"
                raise ValueError(msg)

    def _rules(self) -> Sequence[tuple[str, bool, str]]:
        named = all(re.fullmatch(NAME, channel) for channel in self.channels)
        return (
            ("name", bool(re.fullmatch(NAME, self.name)), f"does not match {NAME}"),
            ("title", bool(self.title.strip()), "says nothing"),
            ("unit", bool(re.fullmatch(r"\S{1,32}", self.unit)), "is no UCUM unit"),
            ("low", math.isfinite(self.low) and self.low < self.high, f"is not below high, {self.high!r}"),
            ("high", math.isfinite(self.high), "is not finite"),
            ("rate_per_hour", 0.001 <= self.rate_per_hour <= 3_600_000, "is not 0.001 to 3,600,000"),
            ("owner", bool(re.fullmatch(_OWNER, self.owner)), "is neither team:name nor an e-mail address"),
            ("channels", bool(self.channels) and named, f"must be names that match {NAME}, at least one"),
            (
                "channels",
                len(self.channels) <= MAX_CHANNELS,
                f"are more than {MAX_CHANNELS}: split the type",
            ),
            ("channels", len(set(self.channels)) == len(self.channels), "names one twice"),
            ("aggregates", set(self.aggregates) <= set(AGGREGATES), f"may be any of {', '.join(AGGREGATES)}"),
            ("fresh_within_h", 0 < self.fresh_within_h <= 8_760, "is not above 0 and at most 8,760"),
            ("max_rejected_share", 0 <= self.max_rejected_share <= 1, "is not a share from 0 to 1"),
        )

    @property
    def asset_names(self) -> tuple[str, str, str]:
        """Return what its assets are called: clean readings, hours, local days."""
        return self.name, f"{self.name}_hourly", f"{self.name}_daily"

    def fingerprint(self) -> str:
        """Return a short text that changes with whatever decides the rows: not with title, owner or freshness."""
        said = (self.name, self.unit, self.low, self.high, self.rate_per_hour, self.channels, self.aggregates)
        return f"{crc32(repr(said).encode()):08x}"

    def believes(self, value: float) -> bool:
        """Tell whether a value is in range; false for NaN."""
        return self.low <= value <= self.high
