"""Worn or not: the rule of van Hees over the last hour, said of every quarter of an hour.

A quarter is summed up by itself (count, mean and mean square per axis, least and greatest one-second mean); an hour's
standard deviation is combined from four of them. The rule looks back only: it can say "not worn" when the device has
lain still for an hour, and "unknown" while it has less than four quarters to go by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.rule_kinds import KIND_NUMBER, NOT_WORN
from wearables_platform.signals.rules import ranks
from wearables_platform.signals.runs import EVENT, Events, Runs, Sign, Ticks, close_all, follow
from wearables_platform.signals.spans import Ints, OpenSpans, Ring, SpanLayout, Table, by_key, moving
from wearables_platform.signals.windows import WindowRows

QUARTER_US: Final = 900_000_000
QUARTERS: Final = Ticks(QUARTER_US)
WINDOW_QUARTERS: Final = 4
STILL_SD_G: Final = 0.013
STILL_RANGE_G: Final = 0.050
MIN_SECONDS: Final = 450

AXES: Final = ("x", "y", "z")
_SUMS: Final = tuple(f"{axis}_{what}" for axis in AXES for what in ("sum", "squares"))
QUARTER: Final = SpanLayout(
    {"seconds": np.int16, "samples": np.int32, **dict.fromkeys(_SUMS, np.float64)},
    lows=[f"{axis}_low" for axis in AXES],
    highs=[f"{axis}_high" for axis in AXES],
)

SHORT: Final = np.dtype(
    [
        ("device", np.int32),
        ("span", np.int32),
        ("seconds", np.int16),
        ("samples", np.int32),
        *((f"{axis}_{what}", np.float32) for axis in AXES for what in ("mean", "squares")),
        *((f"{axis}_{what}", np.float16) for axis in AXES for what in ("below", "above")),
    ]
)
"""A quarter that is over: per axis the mean, squares around it, and how far one-second means were below and above it.

These are good to 0.05 %: 0.025 mg of the 50 mg that matter.
"""

WEAR: Final = np.dtype(
    [
        ("device", np.int32),
        ("span", np.int32),  # the quarter that is spoken of
        ("state", np.uint8),
        ("seconds", np.int16),  # with movement, in that quarter
        ("still_axes", np.uint8),  # in the hour up to its end
        ("sd_mg", np.float64),  # greatest of the two stillest axes in that hour, NaN while unknown
    ]
)


class WearState(IntEnum):
    """What is known of a quarter of an hour."""

    UNKNOWN = 0
    WORN = 1
    NOT_WORN = 2


def quarter_columns(rows: WindowRows) -> dict[str, NDArray[Any]]:
    """Return what `QUARTER` sums of one-second rows."""
    count = rows["n_samples"]
    columns: dict[str, NDArray[Any]] = {"seconds": count > 0, "samples": count}
    for axis in AXES:
        mean, sd = rows[f"{axis}_mean_g"], rows[f"{axis}_std_g"]
        known = count > 0
        columns[f"{axis}_sum"] = np.where(known, count * mean, 0.0)
        columns[f"{axis}_squares"] = np.where(known, count * (sd * sd + mean * mean), 0.0)
        columns[f"{axis}_low"], columns[f"{axis}_high"] = np.where(known, mean, np.inf), np.where(known, mean, -np.inf)
    return columns


@dataclass
class WearRule:
    """The quarters a device is judged by, and whether it is being worn; indexed by device.

    Attributes
    ----------
    open : OpenSpans
    kept : Ring of `SHORT`
        The last three quarters of each device that are over.
    runs : Runs
    """

    open: OpenSpans = field(default_factory=lambda: OpenSpans(QUARTER))
    kept: Ring = field(default_factory=lambda: Ring(SHORT, WINDOW_QUARTERS - 1))
    runs: Runs = field(default_factory=Runs)

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        self.open.grow(devices)
        self.kept.grow(devices)

    def step(self, rows: WindowRows) -> tuple[Table, Events]:
        """Take one-second rows; returns the wear of the quarters now over, and events begun or over."""
        returned = self.open.table["span"].astype(np.int64)
        over = self.open.add(rows.device, rows.start_us // QUARTER_US, quarter_columns(rows))
        return self._judged(over, self.open.table["span"].astype(np.int64), returned)

    def finish(self) -> tuple[Table, Events]:
        """Return what the open quarters come to as if nothing more came, and what is going on as if it were over."""
        returned = self.open.table["span"].astype(np.int64)
        over = self.open.left()
        wear, events = self._judged(over, np.full(len(returned), 2**31, np.int64), returned)
        ended = close_all(self.runs, [(KIND_NUMBER[NOT_WORN.name], NOT_WORN.least)], QUARTERS)
        return wear, np.concatenate((events, ended))

    def _judged(self, over: Table, front: Ints, returned: Ints) -> tuple[Table, Events]:
        if not len(over):
            return np.zeros(0, WEAR), np.zeros(0, EVENT)
        device = np.unique(over["device"]).astype(np.int64)
        known = by_key(np.concatenate((self.kept.recall(device, returned[device]), short_of(over))))
        windows, place, there = moving(known, front, returned, WINDOW_QUARTERS)
        of_quarters = there[:, -1]  # a quarter without data is not spoken of
        wear = _wear(windows[of_quarters], known[place[of_quarters]], there[of_quarters])
        self.kept.keep(device, front[device], known)
        return wear, self._events(wear)

    def _events(self, wear: Table) -> Events:
        found = [np.zeros(0, EVENT)]
        for places in ranks(wear["device"]):
            now = wear[places]
            off = now["state"] == WearState.NOT_WORN
            sign = Sign(KIND_NUMBER[NOT_WORN.name], off, np.nan_to_num(now["sd_mg"]), now["sd_mg"], NOT_WORN.least)
            device, tick = now["device"].astype(np.int64), now["span"].astype(np.int64)
            found.append(follow(self.runs, device, tick, [sign], QUARTERS))
        return np.concatenate(found)


def short_of(over: Table) -> Table:
    """Return quarters of `QUARTER` in the short form."""
    short = np.zeros(len(over), SHORT)
    for name in ("device", "span", "seconds", "samples"):
        short[name] = over[name]
    count = np.maximum(over["samples"], 1)
    for axis in AXES:
        mean = over[f"{axis}_sum"] / count
        short[f"{axis}_mean"] = mean
        short[f"{axis}_squares"] = np.maximum(over[f"{axis}_squares"] - count * (mean * mean), 0.0)
        known = over["samples"] > 0
        short[f"{axis}_below"] = np.where(known, mean - over[f"{axis}_low"], 0.0)
        short[f"{axis}_above"] = np.where(known, over[f"{axis}_high"] - mean, 0.0)
    return short


def _wear(windows: Table, quarters: Table, there: NDArray[np.bool_]) -> Table:
    """Judge each window by its (W, 4) quarters, oldest first."""
    wear = np.zeros(len(windows), WEAR)
    wear["device"], wear["span"] = windows["device"], windows["span"] - 1
    wear["seconds"] = quarters["seconds"][:, -1] if len(windows) else 0
    known = (there & (quarters["seconds"] >= MIN_SECONDS)).all(axis=1)
    sd_g, range_g = _spread_g(quarters)
    still = (sd_g < STILL_SD_G) & (range_g < STILL_RANGE_G)
    wear["still_axes"] = np.where(known, still.sum(axis=1), 0)
    off = known & (wear["still_axes"] >= 2)
    wear["state"] = np.where(off, WearState.NOT_WORN, np.where(known, WearState.WORN, WearState.UNKNOWN))
    wear["sd_mg"] = np.where(known, 1000.0 * np.sort(sd_g, axis=1)[:, 1], np.nan)
    return wear


def _spread_g(quarters: Table) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (W, 3) standard deviations, and ranges of one-second means, over the four quarters."""
    deviation, extent = [], []
    count = _in_order(quarters["samples"].astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        for axis in AXES:
            means = quarters[f"{axis}_mean"].astype(np.float64)
            mean = _in_order(quarters["samples"] * means) / count
            apart = means - mean[:, None]
            squares = quarters[f"{axis}_squares"] + quarters["samples"] * (apart * apart)
            deviation.append(np.sqrt(_in_order(squares) / count))
            high, low = means + quarters[f"{axis}_above"], means - quarters[f"{axis}_below"]
            extent.append(high.max(axis=1) - low.min(axis=1))
    return np.column_stack(deviation), np.column_stack(extent)


def _in_order(values: NDArray[Any]) -> NDArray[Any]:
    total: NDArray[Any] = values[:, 0] + values[:, 1] + values[:, 2] + values[:, 3]
    return total
