"""Heart rates recorded beside an acceleration recording: one file of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import ConfigError

US_PER_S = 1e6


@dataclass(frozen=True)
class HeartRates:
    """Readings of one person.

    Attributes
    ----------
    time_us : (N,) int64
    bpm : (N,) float64
        Finite numbers, plausible or not.
    skipped : int
        Rows that are no reading: empty, text, no number.
    """

    time_us: NDArray[np.int64]
    bpm: NDArray[np.float64]
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.bpm)


def read_heart_rates(path: Path) -> HeartRates:
    """Read heart rates from CSV or .csv.gz.

    Two forms are understood: one column as an Empatica E4 writes it (begin in seconds since 1970, readings per second,
    then the readings), and two columns, seconds since 1970 and beats per minute, with or without a header.

    Raises
    ------
    ConfigError
        The file cannot be read, or is in neither form.
    """
    try:
        frame = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as exc:
        msg = f"cannot read --heart-rate {path.name}: {exc}"
        raise ConfigError(msg) from exc
    values = frame.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if values.shape[1] == 1:
        return _regular(path, values[:, 0])
    if values.shape[1] == 2:
        return _stamped(values)
    msg = f"--heart-rate {path.name} has {values.shape[1]} columns: one (E4) or two (seconds since 1970, bpm) are read"
    raise ConfigError(msg)


def require_overlap(heart: HeartRates, time_us: NDArray[np.int64]) -> None:
    """Refuse heart rates of another time than the recording's: nothing could be said of both."""
    if not len(heart) or not len(time_us):
        return
    spans = [(int(stamps.min()), int(stamps.max())) for stamps in (heart.time_us, time_us)]
    (heart_first, heart_last), (first, last) = spans
    if heart_last < first or last < heart_first:
        told, recorded = (" to ".join(from_us(us).isoformat(timespec="seconds") for us in span) for span in spans)
        msg = f"the heart rates ({told}) are not of the recording's time ({recorded}): say when it began with --start"
        raise ConfigError(msg)


def _regular(path: Path, values: NDArray[np.float64]) -> HeartRates:
    begin_s, rate_hz = [*values[:2], np.nan, np.nan][:2]
    if not (np.isfinite(begin_s) and np.isfinite(rate_hz) and rate_hz > 0):
        msg = f"--heart-rate {path.name}: one column must begin with seconds since 1970, then readings per second"
        raise ConfigError(msg)
    bpm = values[2:]
    time_us = np.rint(begin_s * US_PER_S + np.arange(len(bpm)) * US_PER_S / rate_hz)
    return _known(time_us, bpm)


def _stamped(values: NDArray[np.float64]) -> HeartRates:
    header = len(values) > 0 and not np.isfinite(values[0]).any()
    rows = values[1:] if header else values
    return _known(np.rint(rows[:, 0] * US_PER_S), rows[:, 1])


def _known(time_us: NDArray[np.float64], bpm: NDArray[np.float64]) -> HeartRates:
    known = np.isfinite(time_us) & np.isfinite(bpm)
    order = np.argsort(time_us[known], kind="stable")
    return HeartRates(time_us[known][order].astype(np.int64), bpm[known][order], int((~known).sum()))
