"""Quality bits: what is known to be wrong, or unusual, about a sample or a window."""

from __future__ import annotations

from enum import IntFlag


class QualityFlag(IntFlag):
    """Bits of the `flags` column; a row's bits are the union of its samples' bits and its own.

    The numbers are stored in databases and Parquet: a bit is never renumbered or reused.

    Examples
    --------
    >>> QualityFlag.GAP | QualityFlag.CLIPPED
    <QualityFlag.GAP|CLIPPED: 5>
    """

    GAP = 1
    """Samples are missing inside the window, or at its edges."""
    LATE = 2
    """Reserved, never set: what came late is named in `quality.dirty_windows`, and batch computes its rows again."""
    CLIPPED = 4
    """The sensor reached the end of its range, at the source or here."""
    GLITCH = 8
    """Samples were replaced by the glitch filter, at the source or here."""
    STUCK = 16
    """The sensor repeated one exact value for a second or more, or sent exact zeros."""
    OUT_OF_RANGE = 32
    """A value lies beyond the declared range of the sensor."""
    NON_FINITE = 64
    """NaN or infinite samples were excluded."""
    CLOCK_STEP = 128
    """The device's wall clock jumped against its monotonic clock."""
    OVERLAP = 256
    """Two boots of the device covered this instant; one was chosen."""
    REBOOT = 512
    """The client started anew inside the window."""
    PROVISIONAL = 1024
    """Written before everything that may touch the row had passed; will be revised."""
    RATE_MISMATCH = 2048
    """Samples came at another rate than the message stated."""
    JUMP = 4096
    """A value changed faster than 8 g in 10 ms: with `GLITCH` a replaced fault, without it a knock that was kept."""
