"""Continuity: where one unbroken run of samples ends and the next begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable

GAP_PERIODS = 1.5
"""A step in time of more than this many nominal periods means that samples are missing."""

STAMP_TOLERANCE_US = 2_000
"""Added to the gap: watches stamp in whole milliseconds, so a period of 9.6 ms reads 9, 10 or 11."""

CONTINUITY_LIMIT_US = 450_000
"""No longer step continues a run, however slow the sensor: what a sample's cleaning looks at stays within this."""


@dataclass(frozen=True)
class Segments:
    """Unbroken runs of a table of S samples.

    Attributes
    ----------
    first, last : (S,) int64
        Position of the first and the last sample of the run that holds each sample.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]


def gap_limit_us(rate_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the longest step between two samples, in microseconds, that still counts as continuous."""
    return GAP_PERIODS * 1e6 / rate_hz + STAMP_TOLERANCE_US


def continuity_breaks(samples: SampleTable) -> NDArray[np.bool_]:
    """Mark samples that do not continue the sample before them.

    Parameters
    ----------
    samples : SampleTable
        Sorted by (device, boot, segment, time).

    Returns
    -------
    (S,) bool
        True at a change of device, boot, clock segment or nominal rate, after a gap, and where `CLOCK_STEP` rises.

    Notes
    -----
    Looks one sample back. Repeated stamps (a step of zero) do not break a run.
    """
    start = samples.series_starts()
    if len(samples) < 2:
        return start
    limit_us = np.minimum(gap_limit_us(samples.rate_hz[1:]), CONTINUITY_LIMIT_US)
    start[1:] |= samples.rate_hz[1:] != samples.rate_hz[:-1]
    start[1:] |= samples.time_us[1:] - samples.time_us[:-1] > limit_us
    stepped = (samples.flags & int(QualityFlag.CLOCK_STEP)) != 0
    start[1:] |= stepped[1:] & ~stepped[:-1]
    return start


def segments_from_breaks(starts: NDArray[np.bool_]) -> Segments:
    """Return for each sample the bounds of its run.

    Examples
    --------
    >>> runs = segments_from_breaks(np.array([True, False, True]))
    >>> runs.first.tolist(), runs.last.tolist()
    ([0, 0, 2], [1, 1, 2])
    """
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=len(starts))
    return Segments(np.repeat(first, lengths), np.repeat(first + lengths - 1, lengths))
