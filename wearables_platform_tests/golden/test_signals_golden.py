"""Rows of a fixed recording, kept as text: a change of any of them needs a new `FEATURE_VERSION`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from wearables_platform.signals.events import spike_events
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import FEATURE_COLUMNS, FEATURE_VERSION, WindowRows, compute_windows

EVENT_COLUMNS = ("start_us", "duration_ms", "peak_g", "direction_x", "direction_y", "direction_z")
GOLDEN = Path(__file__).with_name("signals_rows.json")


def fixed_samples() -> SampleTable:
    """Ten seconds of arithmetic: no random generator, whose stream may change with numpy."""
    index = np.arange(1000)
    t = index / 100.0
    ripple = ((index * 7919) % 1000 - 499.5) / 25_000  # +-0.02 g, fixed
    accel_g = np.column_stack([0.2 + ripple, -0.3 + ripple[::-1], 0.9 + 0.3 * np.sin(2 * np.pi * 1.9 * t) - ripple])
    accel_g[400:412, 0] += 6.0 * np.sin(np.pi * np.arange(12) / 12)
    accel_g[650, 1] += 3.0
    accel_g[777, 2] = np.nan
    kept = np.delete(index, np.arange(850, 880))
    time_us = 1_700_000_000_000_000 + index * 10_000
    table = SampleTable.build(device=3, boot=9, time_us=time_us, rate_hz=100.0, accel_g=accel_g)
    return table.take(kept)


def as_text(rows: WindowRows) -> dict[str, object]:
    events = spike_events(fixed_samples())
    return {
        "feature_version": FEATURE_VERSION,
        "start_us": rows.start_us.tolist(),
        "features": {c.name: [None if v != v else v for v in rows[c.name].tolist()] for c in FEATURE_COLUMNS},
        "events": {
            name: getattr(events, name).tolist() for name in ("start_us", "duration_ms", "peak_g", "direction_x")
        },
    }


def test_rows_are_those_of_their_feature_version() -> None:
    found = as_text(compute_windows(fixed_samples()))
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    golden = json.loads(GOLDEN.read_text())
    assert found["feature_version"] == golden["feature_version"]
    assert found["start_us"] == golden["start_us"]
    for part in ("features", "events"):
        assert list(found[part]) == list(golden[part])  # type: ignore[call-overload]
        for name, expected in golden[part].items():
            values = np.array(found[part][name], dtype=np.float64)  # type: ignore[index]
            np.testing.assert_allclose(values, np.array(expected, dtype=np.float64), rtol=1e-12, err_msg=name)
