"""Activity per hour and local day, written once: relational expressions that every engine computes alike.

All numbers are whole: ENMO and MAD are summed in millionths of a milli-g, coverage in millionths, everything else is
counted. Sums of whole numbers do not depend on their order, so engines, threads and file layouts give equal answers
to the last bit; ratios are taken once, from the sums, by `results`.

A row counts in a person's day by the span it begins in (`spans`): a device, worn by a person, within a local day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import ibis

from wearables_platform.domain.groups import CutPoints

# Grows with every change after which the same windows give other numbers.
DEFINITION_VERSION: Final = "1"
# A window is one second, so counting windows counts seconds. Below half coverage a window says too little to be put
# into an intensity; it still counts as a window.
MIN_COVERAGE: Final = 0.5
MILLION: Final = 1_000_000
# Left edges of the histogram of one-second ENMO, milli-g; the last bin is open.
ENMO_EDGES_MG: Final = (0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 1_000, 2_000)
BOUT_MINUTES: Final = (1, 5, 10)
# Share of a bout's seconds at or above the cut point, in percent.
BOUT_PERCENT: Final = 80
MOST_ACTIVE_MINUTES: Final = 600
LEAST_ACTIVE_MINUTES: Final = 300
# M10 and L5 are looked for where at least two thirds of the ten or five hours were worn and measured.
MIN_PARTS, PARTS = 2, 3

INTENSITIES: Final = ("sedentary_s", "light_s", "moderate_s", "vigorous_s")
BINS: Final = tuple(f"enmo_from_{edge}_s" for edge in ENMO_EDGES_MG)
SUMS: Final = (
    "windows",
    "coverage_ppm",
    "enmo_windows",
    "enmo_sum",
    "mad_windows",
    "mad_sum",
    "steps",
    "worn_s",
    "not_worn_s",
    "wear_unknown_s",
    *INTENSITIES,
    "unclassified_s",
    "worn_enmo_sum",
    *BINS,
)

# As in signals.wear, which takes long to import; a test compares.
QUARTER_S: Final = 900


@dataclass(frozen=True)
class Inputs:
    """The tables of a computation.

    Attributes
    ----------
    windows
        ``device_id, window_start, coverage, enmo_mg, mad_mg, steps``: one row per device and UTC second.
    wear
        ``device_id, window_start, still_axes, sd_mg``: one row per device and quarter of an hour.
    spans
        ``device_id, from_s, to_s, day, begins_s``: seconds since 1970; spans of a device, and of a day, do not overlap.
    days
        ``day, minutes``: local days, numbered, with their length (1,380 or 1,500 where clocks change).
    minutes
        ``minute``: the numbers from 0 up to the longest day's minutes.
    """

    windows: Any
    wear: Any
    spans: Any
    days: Any
    minutes: Any


def seconds_of(inputs: Inputs, cut_points: CutPoints) -> Any:
    """Return one row per window: where it counts, its wear state, and its numbers whole."""
    windows, wear = inputs.windows, inputs.wear
    second = windows.window_start.epoch_seconds().cast("int64")
    enmo = windows.enmo_mg.nullif(float("nan"))
    rows = windows.select(
        device_id=windows.device_id,
        second=second,
        quarter=second - second % QUARTER_S,
        coverage_ppm=_millionths(windows.coverage),
        enough=windows.coverage >= MIN_COVERAGE,
        enmo_mg=enmo,
        enmo=_millionths(enmo),
        mad=_millionths(windows.mad_mg.nullif(float("nan"))),
        steps=windows.steps.cast("int64"),
    )
    known = wear.sd_mg.notnull()
    states = wear.select(
        wear_device_id=wear.device_id,
        wear_quarter=wear.window_start.epoch_seconds().cast("int64"),
        worn=known & (wear.still_axes < 2),
        not_worn=known & (wear.still_axes >= 2),
    )
    rows = rows.left_join(states, [rows.device_id == states.wear_device_id, rows.quarter == states.wear_quarter])
    worn, not_worn = rows.worn.fill_null(False), rows.not_worn.fill_null(False)  # noqa: FBT003 - Ibis takes the value
    used = rows.enough.fill_null(False) & rows.enmo_mg.notnull() & ~not_worn  # noqa: FBT003
    return rows.select(
        "device_id",
        "second",
        "coverage_ppm",
        "enmo",
        "mad",
        "steps",
        hour=rows.second - rows.second % 3_600,
        worn=worn,
        not_worn=not_worn,
        used=used,
        enmo_mg=rows.enmo_mg,
        level=_place(rows.enmo_mg, (cut_points.light_mg, cut_points.moderate_mg, cut_points.vigorous_mg)),
        bin=_place(rows.enmo_mg, ENMO_EDGES_MG[1:]),
    )


def hours_of(seconds: Any) -> Any:
    """Return the sums per device and UTC hour."""
    return _sums(seconds, "device_id", "hour").order_by("device_id", "hour")


def cells_of(inputs: Inputs, seconds: Any) -> Any:
    """Return the sums per local day; a day without a window has no row."""
    return _sums(_of_days(inputs, seconds), "day").order_by("day")


def bouts_of(inputs: Inputs, seconds: Any) -> Any:
    """Return per local day the seconds of moderate and vigorous activity that lie in bouts of at least 1, 5, 10 min.

    A bout of n minutes is n x 60 consecutive seconds, begun by an active one, of which 80 % are active; what was not
    measured or not worn was not active. An active second lies in a bout when the latest bout that began up to it is
    not over.
    """
    rows = _of_days(inputs, seconds.filter(seconds.used & (seconds.level >= 2)))
    rows = rows.select("day", "second")
    in_order = ibis.window(group_by=rows.day, order_by=rows.second)
    up_to_here = ibis.cumulative_window(group_by="day", order_by="second")
    for minutes in BOUT_MINUTES:
        length = minutes * 60
        last_needed = rows.second.lead(length * BOUT_PERCENT // 100 - 1).over(in_order)
        rows = rows.mutate(**{f"begun_{minutes}": ibis.ifelse(last_needed - rows.second < length, rows.second, None)})
    for minutes in BOUT_MINUTES:
        rows = rows.mutate(**{f"latest_{minutes}": rows[f"begun_{minutes}"].max().over(up_to_here)})
    # Where no row counts, Spark's count of a condition is null.
    inside = {
        f"mvpa_bout_{minutes}min_s": rows.count(where=rows.second - rows[f"latest_{minutes}"] < minutes * 60).fill_null(
            0
        )
        for minutes in BOUT_MINUTES
    }
    return rows.group_by("day").aggregate(**inside).order_by("day")


def extremes_of(inputs: Inputs, seconds: Any) -> Any:
    """Return per local day the ten most and the five least active hours: first minute, seconds used, sum of ENMO.

    They begin with any minute of the day and end within it. Of equally active ones the first counts.
    """
    rows = _of_days(inputs, seconds.filter(seconds.used))
    into_day = rows.second - rows.begins_s
    rows = rows.mutate(minute_s=into_day - into_day % 60)
    sums = rows.group_by("day", "minute_s").aggregate(used=rows.count(), enmo=_total(rows.enmo))
    sums = sums.select(sums_day="day", sums_minute_s="minute_s", used="used", enmo="enmo")
    every = inputs.days.cross_join(inputs.minutes)
    every = every.filter(every.minute < every.minutes).mutate(minute_s=every.minute * 60)
    every = every.left_join(sums, [every.day == sums.sums_day, every.minute_s == sums.sums_minute_s])
    whole = {name: every[name].fill_null(0).cast("int64") for name in ("used", "enmo")}
    dense = every.select("day", "minute", "minutes", **whole)
    found = inputs.days.select("day")
    for name, minutes, most in (("m10", MOST_ACTIVE_MINUTES, True), ("l5", LEAST_ACTIVE_MINUTES, False)):
        best = _extreme(dense, name, minutes, most=most)
        found = found.left_join(best, found.day == best[f"{name}_day"]).drop(f"{name}_day")
    return found.order_by("day")


def _extreme(dense: Any, name: str, minutes: int, *, most: bool) -> Any:
    ahead = ibis.window(group_by=dense.day, order_by=dense.minute, preceding=0, following=minutes - 1)
    moved = dense.select(
        "day",
        "minute",
        "minutes",
        used=dense.used.sum().over(ahead).cast("int64"),
        enmo=dense.enmo.sum().over(ahead).cast("int64"),
    )
    whole = moved.filter(
        (moved.minute + minutes <= moved.minutes) & (moved.used * PARTS >= MIN_PARTS * minutes * 60) & (moved.used > 0)
    )
    mean = whole.enmo.cast("float64") / whole.used.cast("float64")
    whole = whole.mutate(mean=-mean if most else mean)
    whole = whole.mutate(
        place=ibis.row_number().over(ibis.window(group_by=whole.day, order_by=[whole.mean, whole.minute]))
    )
    best = whole.filter(whole.place == 0)
    return best.select(
        **{
            f"{name}_day": best.day,
            f"{name}_minute": best.minute,
            f"{name}_used_s": best.used,
            f"{name}_enmo_sum": best.enmo,
        }
    )


def _of_days(inputs: Inputs, rows: Any) -> Any:
    spans = inputs.spans.select(
        span_device_id="device_id", from_s="from_s", to_s="to_s", day="day", begins_s="begins_s"
    )
    # An equality to join by, the rest as a filter: what every engine can do.
    joined = rows.join(spans, rows.device_id == spans.span_device_id)
    return joined.filter((joined.second >= joined.from_s) & (joined.second < joined.to_s))


def _sums(rows: Any, *keys: str) -> Any:
    """Return `SUMS` per key: first per key and kind of second, of which there are few, then over the kinds.

    A count per class and bin over all seconds would look at each of them some thirty times.
    """
    kinds = rows.group_by(*keys, "level", "bin", "worn", "not_worn", "used").aggregate(
        windows=rows.count(),
        coverage_ppm=_total(rows.coverage_ppm),
        enmo_windows=rows.enmo.count(),
        enmo_sum=_total(rows.enmo),
        mad_windows=rows.mad.count(),
        mad_sum=_total(rows.mad),
        steps=_total(rows.steps),
    )
    seconds, used = kinds.windows, kinds.used
    sums = {name: _total(kinds[name]) for name in SUMS[: SUMS.index("steps") + 1]}
    classes = {name: _total(seconds, used & (kinds.level == level)) for level, name in enumerate(INTENSITIES)}
    bins = {name: _total(seconds, used & (kinds.bin == number)) for number, name in enumerate(BINS)}
    counted = kinds.group_by(*keys).aggregate(
        **sums,
        worn_s=_total(seconds, kinds.worn),
        not_worn_s=_total(seconds, kinds.not_worn),
        wear_unknown_s=_total(seconds, ~kinds.worn & ~kinds.not_worn),
        worn_enmo_sum=_total(kinds.enmo_sum, used),
        unclassified_s=_total(seconds, ~used & ~kinds.not_worn),
        **classes,
        **bins,
    )
    return counted.select(*keys, *SUMS)


def _total(values: Any, where: Any = None) -> Any:
    return values.sum(where=where).fill_null(0).cast("int64")


def _millionths(values: Any) -> Any:
    # floor(x + 1/2): engines round halves differently, floor they do not.
    return (values * float(MILLION) + 0.5).floor().cast("int64")


def _place(values: Any, limits: Sequence[float]) -> Any:
    """Return how many of the ascending limits a value has reached."""
    below = [(values < limit, place) for place, limit in enumerate(limits)]
    return ibis.cases(*below, else_=len(limits)).cast("int64")
