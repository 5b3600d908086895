"""How loudly an event is announced: one rule for stream and batch."""

from __future__ import annotations

from typing import Final, Literal

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")  # from least to most

# Clapping and hopping reach 8 to 14 g at the wrist, as falls do: below 8 g it is everyday movement, and 16 g is where
# the usual wrist sensor ends, so what is beyond was either clipped or measured by something better than a watch.
WARNING_PEAK_G: Final = 8.0
CRITICAL_PEAK_G: Final = 16.0


def spike_severity(peak_g: float) -> Severity:
    """Return how loudly a spike of this peak is announced.

    >>> spike_severity(4.0), spike_severity(8.0), spike_severity(20.0)
    ('info', 'warning', 'critical')
    """
    if peak_g >= CRITICAL_PEAK_G:
        return "critical"
    return "warning" if peak_g >= WARNING_PEAK_G else "info"


# By kind: from which size of the extreme value on an event is more than worth knowing. 150 /min at rest is beyond what
# emotion or fever does to most people.
_WARNING_FROM: Final = {
    "stuck_sensor": 0.0,
    "rate_drift": 5.0,
    "implausible_heart_rate": 0.0,
    "high_heart_rate_at_rest": 100.0,
    "silent_sensor": 600.0,
}
_CRITICAL_FROM: Final = {"high_heart_rate_at_rest": 150.0}


def rule_severity(kind: str, extreme_value: float) -> Severity:
    """Return how loudly an event of a rule is announced.

    >>> rule_severity("high_heart_rate_at_rest", 112.0), rule_severity("rate_drift", -2.5)
    ('warning', 'info')
    """
    size = abs(extreme_value)
    if size >= _CRITICAL_FROM.get(kind, float("inf")):
        return "critical"
    return "warning" if size >= _WARNING_FROM.get(kind, float("inf")) else "info"
