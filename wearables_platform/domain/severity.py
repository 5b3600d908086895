"""How loudly an event is announced: one rule for stream and batch."""

from __future__ import annotations

from typing import Final, Literal

Severity = Literal["info", "warning", "critical"]

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
