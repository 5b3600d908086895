"""Activity per hour and local day as loops over rows: slow, and plain enough to be held against the docs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from wearables_platform.batch.activity.plan import Plan

EDGES_MG = (0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400, 600, 1000, 2000)
Row = dict[str, Any]


def judged(windows: Sequence[Mapping[str, Any]], wear: Sequence[Mapping[str, Any]], plan: Plan) -> list[Row]:
    """Each window with its whole numbers, its wear state, and whether and at which level it counts."""
    states = {(row["device_id"], row["second"]): row for row in wear}
    return [_judged(row, states.get((row["device_id"], row["second"] // 900 * 900)), plan) for row in windows]


def _judged(row: Mapping[str, Any], wear: Mapping[str, Any] | None, plan: Plan) -> Row:
    state = "unknown"
    if wear is not None and wear["sd_mg"] is not None:
        state = "not_worn" if wear["still_axes"] >= 2 else "worn"
    enmo = row["enmo_mg"]
    exists = enmo is not None and not math.isnan(enmo)
    used = exists and row["coverage"] >= 0.5 and state != "not_worn"
    limits = (plan.limits.light_mg, plan.limits.moderate_mg, plan.limits.vigorous_mg)
    return {
        **row,
        "state": state,
        "used": used,
        "level": sum(enmo >= limit for limit in limits) if used else None,
        "bin": max(n for n, edge in enumerate(EDGES_MG) if enmo >= edge) if used else None,
        "enmo": math.floor(enmo * 1e6 + 0.5) if exists else None,
        "mad": math.floor(row["mad_mg"] * 1e6 + 0.5) if row["mad_mg"] is not None else None,
        "ppm": math.floor(row["coverage"] * 1e6 + 0.5),
    }


def sums(rows: Sequence[Row]) -> Row:
    """The sums of some windows."""
    enmo = [row["enmo"] for row in rows if row["enmo"] is not None]
    mad = [row["mad"] for row in rows if row["mad"] is not None]
    found = {
        "windows": len(rows),
        "coverage_ppm": sum(row["ppm"] for row in rows),
        "enmo_windows": len(enmo),
        "enmo_sum": sum(enmo),
        "mad_windows": len(mad),
        "mad_sum": sum(mad),
        "steps": sum(row["steps"] or 0 for row in rows),
        "worn_s": sum(row["state"] == "worn" for row in rows),
        "not_worn_s": sum(row["state"] == "not_worn" for row in rows),
        "wear_unknown_s": sum(row["state"] == "unknown" for row in rows),
        "unclassified_s": sum(not row["used"] and row["state"] != "not_worn" for row in rows),
        "worn_enmo_sum": sum(row["enmo"] for row in rows if row["used"]),
    }
    for level, name in enumerate(("sedentary_s", "light_s", "moderate_s", "vigorous_s")):
        found[name] = sum(row["level"] == level for row in rows)
    for number, edge in enumerate(EDGES_MG):
        found[f"enmo_from_{edge}_s"] = sum(row["bin"] == number for row in rows)
    return found


def hours(rows: Sequence[Row], plan: Plan) -> list[Row]:
    """Sums per device and UTC hour of the plan's span."""
    by_hour: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if plan.first_s <= row["second"] < plan.end_s:
            by_hour[(row["device_id"], row["second"] // 3_600 * 3_600)].append(row)
    return [{"device_id": device, "hour": hour, **sums(found)} for (device, hour), found in sorted(by_hour.items())]


def days(rows: Sequence[Row], plan: Plan) -> list[Row]:
    """Sums, bouts, most and least active hours per local day that has a window."""
    by_day: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        for span in plan.spans:
            if span.device_id == row["device_id"] and span.from_s <= row["second"] < span.to_s:
                by_day[span.day].append(row)
    return [{"day": day, **sums(found), **_more(found, plan, day)} for day, found in sorted(by_day.items())]


def _more(rows: Sequence[Row], plan: Plan, day: int) -> Row:
    begins_s, minutes = plan.days[day].begins_s, plan.days[day].minutes
    active = sorted(row["second"] for row in rows if row["used"] and row["level"] >= 2)
    bouts = {f"mvpa_bout_{n}min_s": _in_bouts(active, n * 60) if active else None for n in (1, 5, 10)}
    per_minute: list[list[int]] = [[] for _ in range(minutes)]
    for row in rows:
        if row["used"]:
            per_minute[(row["second"] - begins_s) // 60].append(row["enmo"])
    return {**bouts, **_extreme("m10", per_minute, 600, -1), **_extreme("l5", per_minute, 300, 1)}


def _in_bouts(active: Sequence[int], length_s: int) -> int:
    inside: set[int] = set()
    for begin in active:
        covered = active[bisect_left(active, begin) : bisect_left(active, begin + length_s)]
        if len(covered) * 100 >= 80 * length_s:
            inside.update(covered)
    return len(inside)


def _extreme(name: str, per_minute: Sequence[Sequence[int]], length: int, sign: int) -> Row:
    counts, totals = ([how(values) for values in per_minute] for how in (len, sum))
    best: tuple[float, int] | None = None
    for minute in range(len(per_minute) - length + 1):
        used = sum(counts[minute : minute + length])
        if used * 3 >= 2 * length * 60:
            mean = sign * sum(totals[minute : minute + length]) / used
            best = min(best or (mean, minute), (mean, minute))
    names = (f"{name}_minute", f"{name}_used_s", f"{name}_enmo_sum")
    if best is None:
        return dict.fromkeys(names)
    part = slice(best[1], best[1] + length)
    return dict(zip(names, (best[1], sum(counts[part]), sum(totals[part])), strict=True))
