"""Newest values of thousands of devices as the stream would have written them, without thousands of devices."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wearables_platform.clients.latest import POINT_DTYPE, TRACE_SPAN_US, LatestBatch, TraceChunk, Traces
from wearables_platform.clients.redis import LatestWriter

SILENT_US = 3_600_000_000
LATE_US = 600_000_000
UPLOAD_US = 60_000
POINT_EVERY_US = 40_000

Ints = npt.NDArray[np.int64]


@dataclass
class LargeFleet:
    """Writes new values of all its devices once a period, until it is stopped.

    One in forty fell silent an hour ago; one in sixty uploads what it measured ten minutes ago.
    """

    writer: LatestWriter
    device_ids: Sequence[str]
    model_version: str = ""
    period_s: float = 1.0
    stopping: threading.Event = field(default_factory=threading.Event)
    writes: int = 0
    written_us: int = 0

    def run(self) -> None:
        """Write until stopped."""
        while not self.stopping.wait(self.period_s):
            self.write_once(int(time.time() * 1e6))

    def write_once(self, now_us: int) -> None:
        """Write what the devices measured since the last write; of silent ones only the first time."""
        number = np.arange(len(self.device_ids))
        silent, late = number % 40 == 7, number % 60 == 11
        told = number[~silent] if self.writes else number
        self.writes += 1
        age_us = (np.where(silent, SILENT_US, np.where(late, LATE_US, 0)) + UPLOAD_US * (1 + number % 3))[told]
        append_us = now_us - np.where(silent, SILENT_US, 0)[told]
        since_us = min(now_us - self.written_us, TRACE_SPAN_US)
        self.written_us = now_us
        self.writer.write(self._batches(told, now_us - age_us, append_us, since_us), {})

    def _batches(self, told: Ints, event_us: Ints, append_us: Ints, since_us: int) -> list[LatestBatch]:
        names = [self.device_ids[i] for i in told]
        sequence = np.full(len(told), self.writes)
        vm_g = moved_g(event_us, told)
        enmo_mg = 1000 * np.abs(vm_g - 1)
        groups: dict[str, dict[str, Any]] = {
            "motion": {
                "time_us": event_us, "append_us": append_us, "sequence": sequence,
                "boot_id": ["00000000000000ff"] * len(told),
                "x_g": vm_g / 2, "y_g": vm_g / 2, "z_g": vm_g / np.sqrt(2), "vm_g": vm_g,
                "rate_hz": np.full(len(told), 100.0),
            },
            "window": {
                "window_start_us": event_us // 1_000_000 * 1_000_000, "enmo_mg": enmo_mg,
                "anomaly_score": np.clip(0.32 + enmo_mg / 3000, 0, 1),
                "model_version": [self.model_version] * len(told),
            },
            "heart_rate": {"hr_time_us": event_us, "hr_bpm": np.round(62 + told % 40 + 5 * np.sin(event_us / 9e6))},
            "status": {
                "status_time_us": event_us, "battery_percent": 100.0 - told % 90,
                "worn": (told % 25 != 3).astype(np.int64),
            },
        }  # fmt: skip
        traces = {"motion": self._traces(told, event_us, since_us)}
        return [
            LatestBatch(group, names, event_us, sequence, fields, traces.get(group)) for group, fields in groups.items()
        ]

    def _traces(self, told: Ints, event_us: Ints, since_us: int) -> Traces:
        def chunks(wanted: frozenset[str] | None) -> list[TraceChunk]:
            back_us = np.arange(since_us, 0, -POINT_EVERY_US) - POINT_EVERY_US
            made = []
            for i, at_us in zip(told.tolist(), event_us.tolist(), strict=True):
                if wanted is not None and self.device_ids[i] not in wanted:
                    continue
                points = np.zeros(len(back_us), POINT_DTYPE)
                points["time_us"] = at_us - back_us
                points["vm_g"] = moved_g(points["time_us"], np.full(len(back_us), i))
                made.append(TraceChunk(self.device_ids[i], at_us, points))
            return made

        return chunks


def moved_g(time_us: Ints, number: Ints) -> npt.NDArray[np.float64]:
    """Return the vector magnitude of walking at about two steps a second, each device at its own pace."""
    phase = time_us / 1e6 * (1.7 + number % 7 / 10) * 2 * np.pi
    strength = 0.1 + 0.35 * (number % 5) / 5 * (1 + np.sin(time_us / 7e6 + number))
    return np.round(1 + strength * (np.sin(phase) + 0.35 * np.sin(2.1 * phase + 1)), 4)
