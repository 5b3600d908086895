"""The kinds of events rules report: name, unit of the extreme value, what it means, where the rule is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class RuleKind:
    """One kind of event.

    Attributes
    ----------
    name
        As stored: snake_case.
    unit
        Of the extreme value, UCUM.
    needs
        What a device must send for the rule to speak: movement, heart rate, or messages at all.
    value
        What the extreme value is.
    rule
        When it is one.
    reference
        Who says so; empty where it is this platform's own.
    least
        Consecutive ticks (minutes, or quarters of an hour) until a run is an event.
    adjusted
        Whether its limits may differ from device to device (`signals.limits`).
    """

    name: str
    unit: str
    needs: str
    value: str
    rule: str
    reference: str
    least: int = 1
    adjusted: bool = False


STUCK_SENSOR: Final = RuleKind(
    "stuck_sensor", "s", "movement", "seconds stuck in the worst minute",
    "a minute of which at least 90 % (and 10 s) repeat one exact value or are exactly zero", "",
)  # fmt: skip
RATE_DRIFT: Final = RuleKind(
    "rate_drift", "%", "movement", "greatest deviation from the stated rate, in its direction",
    "for 2 minutes, samples in unbroken seconds (30 or more) are over 2 % more or fewer than the stated rate", "",
    least=2,
)  # fmt: skip
IMPLAUSIBLE_HEART_RATE: Final = RuleKind(
    "implausible_heart_rate", "/min", "heart rate", "of these readings the one furthest from 125",
    "a minute with a reading outside 30 to 220 /min, or over 30 /min from the one a second before in its message", "",
)  # fmt: skip
HIGH_HEART_RATE_AT_REST: Final = RuleKind(
    "high_heart_rate_at_rest", "/min", "movement and heart rate", "highest mean of a minute",
    "mean heart rate of a minute over 100 /min, that minute and the 9 before it below 20 mg ENMO", "", adjusted=True,
)  # fmt: skip
HEART_RATE_LOCKED_TO_CADENCE: Final = RuleKind(
    "heart_rate_locked_to_cadence", "/min", "movement and heart rate", "mean heart rate of the minute that fits best",
    "for 2 minutes, mean heart rate and steps per minute (60 or more) differ by less than 3 /min", "", least=2,
)  # fmt: skip
UNUSUAL_ENMO: Final = RuleKind(
    "unusual_enmo", "m[g]", "movement", "ENMO of the minute where the chart is furthest out",
    "EWMA chart (lambda 0.2, L 3) of ln(1 + ENMO / 10 mg) per minute leaves its limits; centre and sigma (1 at least) "
    "from the hour's first 15 minutes, which are the warm-up", "Roberts 1959",
)  # fmt: skip
UNUSUAL_MAD: Final = RuleKind(
    "unusual_mad", "m[g]", "movement", "MAD of the minute furthest out",
    "modified z of ln(1 + MAD / 10 mg) per minute over 3.5 against the hour's last 15 usual minutes; MAD of these 0.3 "
    "at least; the hour's first 15 minutes are the warm-up", "Iglewicz & Hoaglin 1993",
)  # fmt: skip
NOT_WORN: Final = RuleKind(
    "not_worn", "m[g]", "movement", "greatest standard deviation of the two stillest axes",
    "60 min, moved by 15 min: two of three axes with a standard deviation below 13 mg and one-second means within "
    "50 mg; said of the window's last quarter of an hour", "van Hees 2011, 2013",
)  # fmt: skip
SILENT_SENSOR: Final = RuleKind(
    "silent_sensor", "s", "messages", "time without newer movement data, by the log's clock; 12 h at most",
    "no message with newer movement for 60 s of log time; starts where the data end", "",
)  # fmt: skip

MINUTE_KINDS: Final = (
    STUCK_SENSOR,
    RATE_DRIFT,
    IMPLAUSIBLE_HEART_RATE,
    HIGH_HEART_RATE_AT_REST,
    HEART_RATE_LOCKED_TO_CADENCE,
    UNUSUAL_ENMO,
    UNUSUAL_MAD,
)
RULE_KINDS: Final = (*MINUTE_KINDS, NOT_WORN, SILENT_SENSOR)
KIND_NUMBER: Final = {kind.name: number for number, kind in enumerate(RULE_KINDS)}
HEART_KINDS: Final = frozenset(kind.name for kind in RULE_KINDS if "heart rate" in kind.needs)
