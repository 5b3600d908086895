"""Regular times for samples whose stamps jitter, repeat or stall, and where samples are really missing.

A phone or watch samples at a steady rate and stamps a sample when the operating system hands it over: a stamp may
be late, by tens of milliseconds, and several late ones come at once with equal stamps; it is never early. So the time
of sample i is i periods after a start that follows the earliest stamps; only where the stamps never catch up again
are samples missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

CATCH_UP_S = 0.5
"""A stall that lasts longer than this is taken for missing samples."""

LONGEST_STALL_US = 100_000
"""Real watches stall for up to 58 ms."""

GAP_PERIODS = 1.5
GAP_TOLERANCE_US = 2_000
"""What the signal kernels take for a gap as well: `signals.segments`."""

JITTER_SHARE = 2.0
"""The earliest stamps wander by up to about twice the usual lateness; only more is a gap."""

SLEW_PERIODS = (-0.8, 0.4)
SLEW_TOLERANCE_US = 1_500
"""How far a piece may start before or after the end of the one before it, and still neither overlap it nor be taken for
a gap: how fast the stamps' clock is followed."""


class Piece(NamedTuple):
    """Consecutive samples [first, last) at one rate; `continues` the piece before without a gap."""

    first: int
    last: int
    start_us: int
    continues: bool


@dataclass(frozen=True)
class Timeline:
    """The regular times of a recording.

    Attributes
    ----------
    rate_hz : float
    offset_us : (N,) float64
        Time of sample i, less i periods.
    breaks : (B,) int64
        Samples that come after a gap.
    """

    rate_hz: float
    offset_us: NDArray[np.float64]
    breaks: NDArray[np.int64]

    def pieces(self, samples_per_piece: int) -> Iterator[Piece]:
        """Cut the recording into pieces of at most so many samples, none across a gap."""
        period_us = 1e6 / self.rate_hz
        bounds = [0, *self.breaks.tolist(), len(self.offset_us)]
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
            expected_us: float | None = None
            for first in range(begin, end, samples_per_piece):
                last = min(first + samples_per_piece, end)
                start_us = first * period_us + self.offset_us[first]
                if expected_us is not None:
                    behind_us, ahead_us = (periods * period_us for periods in SLEW_PERIODS)
                    ahead_us += SLEW_TOLERANCE_US
                    start_us = expected_us + float(np.clip(start_us - expected_us, behind_us, ahead_us))
                yield Piece(first, last, round(start_us), expected_us is not None)
                expected_us = start_us + (last - first) * period_us


def regular_times(time_us: NDArray[np.int64], rate_hz: float) -> Timeline:
    """Fit a steady clock to stamps that never run backwards.

    Parameters
    ----------
    time_us : (N,) int64
        Not decreasing.
    rate_hz : float

    Returns
    -------
    Timeline
    """
    period_us = 1e6 / rate_hz
    late_us = time_us - np.arange(len(time_us)) * period_us
    ahead = max(2, round(CATCH_UP_S * rate_hz))
    # The least lateness from each sample on, over CATCH_UP_S: a stall does not move it, a loss does, at its place.
    offset_us = _forward_minimum(late_us, ahead)
    # What is late at the very end has had no time to catch up: a stall as long as real ones are is no gap there either.
    tail_us = offset_us[-ahead:]
    offset_us[-ahead:] = np.where(tail_us - tail_us[0] < LONGEST_STALL_US, tail_us[0], tail_us)
    usual_us = JITTER_SHARE * float(np.median(late_us - offset_us))
    limit_us = (GAP_PERIODS - 1) * period_us + GAP_TOLERANCE_US + usual_us
    breaks = np.flatnonzero(np.abs(np.diff(offset_us)) > limit_us) + 1
    return Timeline(rate_hz, offset_us, breaks)


def _forward_minimum(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the minimum of each value and the `size` - 1 after it."""
    return np.asarray(minimum_filter1d(values, size, origin=-(size // 2), mode="nearest"))
