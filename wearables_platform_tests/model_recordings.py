"""Real movement with planted spikes, as the lake holds it: ten people's recordings, one device each."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wearables_platform.batch.sorted_partitions import sorted_partitions
from wearables_platform.batch.windows import FEATURE_ORDER
from wearables_platform.clients.lake import Lake
from wearables_platform.domain.labels import LabelledSpan
from wearables_platform.signals.events import spike_events
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import FEATURE_VERSION, compute_windows
from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET, event_table, window_table
from wearables_platform_tests.model_windows import DAY_US
from wearables_platform_tests.recordings import Recording, seglearn_exercises, seglearn_watch

DAY = "2025-03-30"
PULSE_SAMPLES = 8  # 160 ms at 50 Hz


@cache
def recorded_day() -> dict[str, pa.Table]:
    """Windows and spikes of ten people; every tenth second or so a push of 5 to 10 g is planted."""
    by_person: dict[str, list[Recording]] = {}
    for recording in seglearn_watch():
        by_person.setdefault(recording.name.rsplit("-", 1)[0], []).append(recording)
    people = sorted(by_person)
    tables = [_samples(number, by_person[person]) for number, person in enumerate(people)]
    samples = SampleTable.concat(tables)
    windows = window_table(compute_windows(samples), [f"{person}-watch" for person in people])
    events = event_table(spike_events(samples), [f"{person}-watch" for person in people])
    return {WINDOWS_DATASET: windows, SPIKES_DATASET: events}


def recorded_people() -> list[str]:
    """Everyone in the recorded day; each wears the device named after them."""
    return sorted(
        {name.removesuffix("-watch") for name in recorded_day()[WINDOWS_DATASET].column("device_id").to_pylist()}
    )


def publish_recorded_day(lake: Lake) -> None:
    """Write the day to the lake, as the features' asset does."""
    with sorted_partitions(lake, DAY, FEATURE_ORDER, {"features": FEATURE_VERSION}) as made:
        for dataset, table in recorded_day().items():
            made.add(dataset, table)
        made.publish()


def _samples(device: int, recordings: list[Recording]) -> SampleTable:
    rng = np.random.default_rng(device)
    begin_us, parts = DAY_US, []
    for boot, recording in enumerate(recordings):
        accel_g = _with_pushes(recording.accel_g, rng).astype(np.float32)
        count = len(accel_g)
        parts.append(
            SampleTable.build(
                device=device,
                boot=boot + 1,
                time_us=begin_us + np.arange(count, dtype=np.int64) * 20_000,
                rate_hz=50.0,
                accel_g=accel_g,
            )
        )
        begin_us += (count // 50 + 10) * 1_000_000
    return SampleTable.concat(parts)


def _with_pushes(accel_g: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    pushed = np.array(accel_g, dtype=np.float64)
    pulse = np.sin(np.pi * (np.arange(PULSE_SAMPLES) + 0.5) / PULSE_SAMPLES)
    for at in range(300, len(pushed) - 100, 1_500):
        pushed[at : at + PULSE_SAMPLES, 0] += rng.uniform(5.0, 10.0) * pulse
    return pushed


def recorded_labels() -> dict[str, list[LabelledSpan]]:
    """What each device's wearer did when: the exercise of each recording, as the wheel says it."""
    exercises = seglearn_exercises()
    spans: dict[str, list[LabelledSpan]] = {}
    begin_us: dict[str, int] = {}
    for number, recording in enumerate(seglearn_watch()):
        person = recording.name.rsplit("-", 1)[0]
        start_us, count = begin_us.get(person, DAY_US), len(recording.accel_g)
        spans.setdefault(f"{person}-watch", []).append(
            LabelledSpan(exercises[number], start_us, start_us + count * 20_000)
        )
        begin_us[person] = start_us + (count // 50 + 10) * 1_000_000
    return spans
