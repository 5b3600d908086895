"""Windows with known unusual ones, for tests of the models: drawn as features, without samples behind them."""

from __future__ import annotations

import numpy as np

from wearables_platform.models.training_set import TrainingSet, Wear, assemble
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US, WindowRows

DAY_US = 1_743_292_800_000_000  # 2025-03-30T00:00:00Z
EVENT_EVERY = 50


def draw_windows(seed: int, people: int = 12, per_person: int = 200) -> WindowRows:
    """Windows of `people` devices (0, 1, ...); every fiftieth holds a spike."""
    rng = np.random.default_rng(seed)
    count = people * per_person
    liveliness = np.repeat(rng.uniform(0.5, 2.0, people), per_person) * rng.gamma(2.0, 0.05, count)
    spike = np.where(np.arange(count) % EVENT_EVERY == EVENT_EVERY - 1, rng.uniform(3.0, 9.0, count), 0.0)
    features = {
        column.name: np.abs(rng.normal(0.5, 0.1, count)).astype(column.dtype)
        if column.dtype == "float64"
        else np.zeros(count, dtype=np.int32)
        for column in FEATURE_COLUMNS
    }
    features["coverage"] = np.ones(count)
    features["n_samples"] = np.full(count, 100, dtype=np.int32)
    features["rate_hz"] = np.full(count, 100.0)
    features["vm_mean_g"] = 1.0 + liveliness * 0.1
    features["vm_std_g"] = liveliness + spike * 0.2
    features["vm_max_g"] = 1.0 + 3 * liveliness + spike
    features["enmo_mg"] = 1000 * (liveliness * 0.3 + spike * 0.02)
    features["mad_mg"] = 700 * liveliness + spike
    features["jerk_rms_g_s"] = 10 * liveliness + 4 * spike
    features["steps"] = rng.poisson(liveliness * 4, count).astype(np.int32)
    features["dominant_hz"][rng.random(count) < 0.05] = np.nan
    start_us = DAY_US + np.tile(np.arange(per_person), people) * WINDOW_US
    return WindowRows(np.repeat(np.arange(people, dtype=np.int32), per_person), start_us, features)


def device_ids(people: int) -> list[str]:
    return [f"watch-{number:02d}" for number in range(people)]


def person_of(device_id: str) -> str:
    return device_id.replace("watch", "person")


def worn_by_one_each(people: int) -> list[Wear]:
    return [Wear(device, person_of(device), 0, 2**62) for device in device_ids(people)]


def spike_starts(rows: WindowRows) -> dict[str, list[int]]:
    ids = device_ids(int(rows.device.max()) + 1)
    hit = np.flatnonzero(np.arange(len(rows)) % EVENT_EVERY == EVENT_EVERY - 1)
    starts: dict[str, list[int]] = {}
    for row in hit:
        starts.setdefault(ids[rows.device[row]], []).append(int(rows.start_us[row]))
    return starts


def draw_training_set(seed: int, people: int = 12, per_person: int = 200) -> TrainingSet:
    rows = draw_windows(seed, people, per_person)
    return assemble(rows, device_ids(people), worn_by_one_each(people), spike_starts(rows), FEATURE_VERSION)
