"""Rules and rolling rows are the same however rows and readings are cut, and equal to what the whole gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.signals.device_rules import DeviceRules, Findings, final_findings
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.minutes import GRACE_MINUTES, Readings
from wearables_platform.signals.rolling import ROLLING_COLUMNS
from wearables_platform.signals.windows import WindowRows
from wearables_platform_tests.rule_rows import START_US, readings, rows, together

SECONDS = 2 * 3600 + 1500
TAIL = 600  # unbroken: what came before it is over by its end
DEVICES = 3


def rough_rows(rng: np.random.Generator, device: int) -> WindowRows:
    """Return a device's rows with holes, and stretches of anything a rule may ask for."""
    seconds = np.flatnonzero(rng.random(SECONDS + TAIL) > rng.choice([0.0, 0.02]))
    for _ in range(rng.integers(0, 3)):
        hole = rng.integers(0, SECONDS - 1500)
        seconds = seconds[(seconds < hole) | (seconds > hole + rng.integers(1, 1500))]
    stretch = np.array([rng.integers(0, 4) for _ in range((SECONDS + TAIL) // 300 + 1)])[seconds // 300]
    return rows(
        seconds,
        device,
        enmo_mg=rng.choice([3.0, 8.0, 90.0, 500.0], 4)[stretch] * rng.uniform(0.5, 1.5, len(seconds)),
        mad_mg=rng.choice([3.0, 8.0, 90.0, 500.0], 4)[stretch] * rng.uniform(0.5, 1.5, len(seconds)),
        steps=np.where(stretch == 1, 2, 0),
        n_samples=rng.choice([100, 104], 4)[stretch],
        flags=rng.choice([0, int(QualityFlag.STUCK), int(QualityFlag.GAP)], 4)[stretch],
        x_mean_g=rng.normal(0, 0.3) + rng.normal(0, 0.003, len(seconds)),
        **{f"{axis}_std_g": rng.choice([0.004, 0.05]) for axis in "xyz"},
    )


def rough_readings(rng: np.random.Generator, device: int) -> Readings:
    """Return heart rates that fit the steps, are high, implausible or missing for a while."""
    at = np.arange(0, SECONDS + TAIL, rng.choice([1, 5]))
    bpm = rng.choice([120.5, 64.25, 118.0, 240.0, 20.0, np.nan], (SECONDS + TAIL) // 300 + 1)[at // 300]
    keep = rng.random(len(at)) > 0.1
    return readings(at[keep], (bpm + rng.normal(0, 0.5, len(at)))[keep], device)


def as_it_comes(all_rows: WindowRows, heart: Readings, rng: np.random.Generator, rules: DeviceRules) -> Findings:
    """Return what a live run says: portions of any length, heart rate behind by less than the grace."""
    parts, reached = [], 0
    while reached < SECONDS + TAIL:
        until = reached + int(rng.integers(1, 400))
        behind = int(rng.integers(0, (GRACE_MINUTES - 1) * 60))
        parts.append(rules.step(*(portion(all_rows, heart, reached, until, behind))))
        rules = resumed(rules) if rng.random() < 0.2 else rules
        heart = later(heart, until - behind)
        reached = until
    return Findings.concat(parts)


def portion(all_rows: WindowRows, heart: Readings, first: int, until: int, behind: int) -> tuple[WindowRows, Readings]:
    at = (all_rows.start_us - START_US) // 1_000_000
    return all_rows.take((at >= first) & (at < until)), earlier(heart, until - behind)


def earlier(heart: Readings, until: int) -> Readings:
    return chosen(heart, heart.time_us < START_US + until * 1_000_000)


def later(heart: Readings, until: int) -> Readings:
    return chosen(heart, heart.time_us >= START_US + until * 1_000_000)


def chosen(heart: Readings, index: Any) -> Readings:
    return heart.take(index)


def resumed(rules: DeviceRules) -> DeviceRules:
    """Return rules that begin where others were saved."""
    fresh = DeviceRules()
    fresh.restore(rules.columns())
    return fresh


def over(findings: Findings, until_us: int) -> dict[str, list[Any]]:
    """Return what had ended some time before `until_us`, as plain values; floats by their bits."""
    events = findings.events[~findings.events["open"]]
    return {
        "events": sorted(map(bytes, events[events["end_us"] < until_us])),
        "wear": sorted(
            map(bytes, findings.wear[(findings.wear["span"].astype(np.int64) + 1) * 900_000_000 < until_us])
        ),
        "rolling": sorted(map(bytes, findings.rolling[findings.rolling["start_us"] + 60_000_000 < until_us])),
    }


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_cut_gives_what_the_whole_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    all_rows = together([rough_rows(rng, device) for device in range(DEVICES)])
    hearts = [rough_readings(rng, device) for device in range(DEVICES - 1)]  # the last one has no heart rate
    heart = Readings.concat(hearts)
    rules = DeviceRules()
    rules.grow(DEVICES)
    live = as_it_comes(all_rows, heart, rng, rules)
    until_us = START_US + SECONDS * 1_000_000
    late = {(d, m // 60) for d, m, _ in live.late.tolist()}
    whole, said = over(final_findings(all_rows, heart, DEVICES), until_us), over(live, until_us)
    assert said["rolling"] == whole["rolling"]
    assert said["wear"] == whole["wear"]
    assert clean(said["events"], late) == clean(whole["events"], late)


def clean(events: list[bytes], late: set[tuple[int, int]]) -> list[bytes]:
    """Leave out what a late minute may change: events of its hour."""
    from wearables_platform.signals.runs import EVENT

    found = [np.frombuffer(event, EVENT)[0] for event in events]
    return [
        event.tobytes()
        for event in found
        if (int(event["device"]), int(event["start_us"]) // 3_600_000_000) not in late
    ]


def test_rolling_rows_are_what_their_seconds_say() -> None:
    rng = np.random.default_rng(5)
    one = rough_rows(rng, 0)
    found = final_findings(one, Readings.none(), 1).rolling
    for row in found[rng.choice(len(found), 60)]:
        inside = one.take(
            (one.start_us >= row["start_us"]) & (one.start_us < row["start_us"] + row["span_s"] * 1_000_000)
        )
        n = inside["n_samples"].astype(float)
        assert row["seconds"] == len(inside)
        assert row["n_samples"] == n.sum()
        assert row["steps"] == inside["steps"].sum()
        mean = np.average(inside["vm_mean_g"], weights=n)
        variance = np.average(inside["vm_std_g"] ** 2 + (inside["vm_mean_g"] - mean) ** 2, weights=n)
        expected = {
            "vm_mean_g": mean,
            "vm_std_g": np.sqrt(variance),
            "vm_max_g": inside["vm_max_g"].max(),
            "enmo_mg": np.average(inside["enmo_mg"], weights=n),
            "mad_1s_mean_mg": np.average(inside["mad_mg"], weights=n),
            "enmo_1s_p95_mg": np.percentile(inside["enmo_mg"], 95),
            "coverage": inside["coverage"].sum() / row["span_s"],
            "cadence_per_min": 60 * inside["steps"].sum() / len(inside),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(row[name], value, rtol=1e-6, err_msg=name)
    assert set(found.dtype.names or ()) >= {column.name for column in ROLLING_COLUMNS}
