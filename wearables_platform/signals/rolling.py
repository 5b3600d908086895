"""Rolling rows: 10 s side by side and 60 s moved by 10 s, combined from one-second rows.

A 10 s part sums its one-second rows in their order and is then rounded to single precision, in which five of them are
kept; rows are combined from parts in their order, and only once the span is over: the same bits however the one-second
rows are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.features import FeatureColumn
from wearables_platform.signals.spans import Ints, OpenSpans, Ring, SpanLayout, Table, by_key, moving
from wearables_platform.signals.windows import WindowRows

TEN_S_US: Final = 10_000_000
SHORT_S: Final = 10
LONG_S: Final = 60
PARTS: Final = LONG_S // SHORT_S
_P95: Final = 0.95
TOP: Final = 4
"""Of so many of a minute's seconds the greatest ENMO are needed for the 95th percentile."""

TEN: Final = SpanLayout(
    {
        "seconds": np.int8,
        "samples": np.int32,
        "steps": np.int16,
        "coverage": np.float32,
        "vm": np.float64,
        "vm_squares": np.float64,
        "enmo": np.float32,
        "mad": np.float32,
    },
    lows=["vm_min"],
    highs=["vm_max"],
    tops={"enmo_1s": TOP},
)
"""10 s in the making; sums of squares need double precision."""

PART: Final = np.dtype(
    [
        ("device", np.int32),
        ("span", np.int32),
        ("seconds", np.int8),
        ("samples", np.int32),
        ("steps", np.int16),
        ("coverage", np.float32),
        ("vm", np.float32),  # mean, and squares around it
        ("vm_squares", np.float32),
        ("enmo", np.float32),
        ("mad", np.float32),
        ("vm_min", np.float32),
        ("vm_max", np.float32),
        ("enmo_1s", np.float32, (TOP,)),
    ]
)
"""10 s that are over, as rows are combined from them: in single precision, six of them are kept per device."""

ROLLING_COLUMNS: Final = (
    FeatureColumn("seconds", "s", "int32", "one-second rows with samples in the span"),
    FeatureColumn("n_samples", "{samples}", "int32", "finite samples in the span"),
    FeatureColumn("coverage", "1", "float64", "mean coverage over the span, a second without a row counting 0"),
    FeatureColumn("vm_mean_g", "g", "float64", "mean vector magnitude"),
    FeatureColumn("vm_std_g", "g", "float64", "standard deviation of the vector magnitude (population, pooled)"),
    FeatureColumn("vm_min_g", "g", "float64", "smallest vector magnitude, rounded to single precision"),
    FeatureColumn("vm_max_g", "g", "float64", "largest vector magnitude, rounded to single precision"),
    FeatureColumn("enmo_mg", "m[g]", "float64", "mean of max(VM - 1 g, 0)"),
    FeatureColumn("enmo_1s_p95_mg", "m[g]", "float64", "95th percentile of the one-second ENMO, linear between ranks"),
    FeatureColumn("mad_1s_mean_mg", "m[g]", "float64", "mean of the one-second MAD, weighted by samples"),
    FeatureColumn("steps", "{steps}", "int32", "steps in the span"),
    FeatureColumn("cadence_per_min", "{steps}/min", "float64", "steps per minute of seconds with samples"),
)
"""Columns of a rolling row, besides device, start and length of the span."""

ROLLING: Final = np.dtype(
    [
        ("device", np.int32),
        ("start_us", np.int64),
        ("span_s", np.int32),
        *((column.name, np.dtype(column.dtype)) for column in ROLLING_COLUMNS),
    ]
)


@dataclass
class Rolling:
    """What rolling rows are made of, indexed by device.

    Attributes
    ----------
    open : OpenSpans
        The 10 s each device is in.
    kept : Ring of `PART`
        The last five of each device that are over.
    """

    open: OpenSpans = field(default_factory=lambda: OpenSpans(TEN))
    kept: Ring = field(default_factory=lambda: Ring(PART, PARTS - 1))

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        self.open.grow(devices)
        self.kept.grow(devices)

    def step(self, rows: WindowRows) -> Table:
        """Take one-second rows, sorted by (device, time); returns the rows of spans that are over.

        A 60 s span that begins before the data do, or holds a hole, is returned too: `seconds` says how much it has.
        Spans that end after the last row are returned when a later row comes, spans without any row never.
        """
        returned = self.open.table["span"].astype(np.int64)
        over = self.open.add(rows.device, rows.start_us // TEN_S_US, ten_columns(rows))
        return self._rows(over, self.open.table["span"].astype(np.int64), returned)

    def finish(self) -> Table:
        """Return the rows of all spans that hold something, as if nothing more came."""
        returned = self.open.table["span"].astype(np.int64)
        over = self.open.left()
        return self._rows(over, np.full(len(returned), 2**31, np.int64), returned)

    def _rows(self, over: Table, front: Ints, returned: Ints) -> Table:
        if not len(over):
            return np.zeros(0, ROLLING)
        device, parts = np.unique(over["device"]).astype(np.int64), part_of(over)
        known = by_key(np.concatenate((self.kept.recall(device, returned[device]), parts)))
        windows, place, there = moving(known, front, returned, PARTS)
        self.kept.keep(device, front[device], known)
        short = _combined(parts[["device", "span"]], SHORT_S, parts[:, None], np.ones((len(parts), 1), bool))
        windows["span"] -= PARTS
        return np.concatenate((short, _combined(windows, LONG_S, known[place], there)))


def ten_columns(rows: WindowRows) -> dict[str, NDArray[Any]]:
    """Return what `TEN` sums of one-second rows."""
    count, known = rows["n_samples"], rows["n_samples"] > 0
    mean, sd = rows["vm_mean_g"], rows["vm_std_g"]
    sums = {
        "vm": count * mean,
        "vm_squares": count * (sd * sd + mean * mean),
        "enmo": count * rows["enmo_mg"],
        "mad": count * rows["mad_mg"],
    }
    return {
        **{name: np.where(known, values, 0.0) for name, values in sums.items()},
        "seconds": known,
        "samples": count,
        "steps": rows["steps"],
        "coverage": rows["coverage"],
        "vm_min": np.where(known, rows["vm_min_g"], np.inf),
        "vm_max": np.where(known, rows["vm_max_g"], -np.inf),
        "enmo_1s": np.where(known, rows["enmo_mg"], -np.inf),
    }


def part_of(over: Table) -> Table:
    """Return spans of `TEN` in the short form of `PART`."""
    parts = np.zeros(len(over), PART)
    for name in PART.names or ():
        parts[name] = over[name]
    count = np.maximum(over["samples"], 1)
    mean = over["vm"] / count
    parts["vm"] = mean
    parts["vm_squares"] = np.maximum(over["vm_squares"] - count * (mean * mean), 0.0)
    return parts


def _combined(begin: Table, span_s: int, parts: Table, there: NDArray[np.bool_]) -> Table:
    """Return a row per (W,) beginning from its (W, P) parts, oldest first, of which some may not be there."""
    rows = np.zeros(len(begin), ROLLING)
    rows["device"], rows["start_us"] = begin["device"], begin["span"].astype(np.int64) * TEN_S_US
    rows["span_s"] = span_s
    if not len(begin):
        return rows
    names = ("seconds", "samples", "steps", "coverage", "enmo", "mad")
    total = {name: _in_order(parts[name], there) for name in names}
    seconds, samples = total["seconds"], total["samples"]
    rows["seconds"], rows["n_samples"], rows["steps"] = seconds, samples, total["steps"]
    rows["coverage"] = total["coverage"] / span_s
    with np.errstate(invalid="ignore", divide="ignore"):
        rows["vm_mean_g"], rows["vm_std_g"] = _pooled(parts, there, samples)
        rows["enmo_mg"], rows["mad_1s_mean_mg"] = total["enmo"] / samples, total["mad"] / samples
        rows["cadence_per_min"] = 60.0 * total["steps"] / seconds
    low = np.where(there, parts["vm_min"], np.inf).min(axis=1)
    rows["vm_min_g"] = np.where(np.isfinite(low), low, np.nan)
    high = np.where(there, parts["vm_max"], -np.inf).max(axis=1)
    rows["vm_max_g"] = np.where(np.isfinite(high), high, np.nan)
    greatest = np.where(there[:, :, None], parts["enmo_1s"], np.float32(-np.inf))
    rows["enmo_1s_p95_mg"] = _p95(greatest.reshape(len(begin), -1).astype(np.float64), seconds)
    return rows


def _in_order(values: NDArray[Any], there: NDArray[np.bool_]) -> NDArray[Any]:
    """Return (W,) sums over (W, P), part after part."""
    total = np.zeros(len(values), np.float64 if values.dtype.kind == "f" else np.int64)
    for part in range(values.shape[1]):
        total += np.where(there[:, part], values[:, part], 0)
    return total


def _pooled(parts: Table, there: NDArray[np.bool_], samples: Ints) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (W,) means and standard deviations of the parts together."""
    means = parts["vm"].astype(np.float64)
    mean = _in_order(parts["samples"] * means, there) / samples
    apart = means - mean[:, None]
    squares = parts["vm_squares"] + parts["samples"] * (apart * apart)
    return mean, np.sqrt(_in_order(squares, there) / samples)


def _p95(greatest: NDArray[np.float64], count: Ints) -> NDArray[np.float64]:
    """Return the 95th percentile of `count` numbers, at most a minute's, from the greatest; linear between ranks.

    NaN where there is none.
    """
    ordered = np.sort(greatest, axis=1)[:, ::-1]
    rank = _P95 * np.maximum(count - 1, 0)
    below = rank.astype(np.int64)
    row, last = np.arange(len(greatest)), np.maximum(count - 1, 0)
    low, high = ordered[row, last - below], ordered[row, np.maximum(last - below - 1, 0)]
    fraction = rank - below
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, low + np.where(fraction > 0, (high - low) * fraction, 0.0), np.nan))
