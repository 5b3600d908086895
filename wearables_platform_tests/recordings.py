"""Real recordings for tests: those shared beside the project, and those of the seglearn wheel.

The shared ones are not part of the project; a test that needs one skips where they are absent. The wheel's
(10 people, 140 recordings, BSD-3) are there on every machine that has the development requirements.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from wearables_platform.domain.labels import label_name
from wearables_platform.signals.motion import STANDARD_GRAVITY_M_S2

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

OXFORD_STEPS = {
    "Nexus_Jamie_Hard_InHand_1": 305,
    "Pixel_Jamie_Hard_SwingingArm_1": 284,
    "Samsung_Carmelo_Hard_Armband_1": 295,
    "Samsung_Dario_Hard_ArmBand_1": 316,
    "Samsung_Dario_Hard_InHand_1": 277,
    "Samsung_Jamie_Hard_InHand_1": 265,
}
"""Steps counted by the wired device of each trial."""


@dataclass(frozen=True)
class Recording:
    """One person's unbroken acceleration: (N,) microseconds since the epoch, (N, 3) g, nominal rate."""

    name: str
    time_us: NDArray[np.int64]
    accel_g: NDArray[np.float64]
    rate_hz: float
    labels: NDArray[np.str_] | None = None


def shared_path(name: str) -> Path:
    """Return the path of a shared file or folder, or skip the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("shared recordings absent")
    return path


@cache
def spsw_watch() -> tuple[Recording, ...]:
    """Smartwatch at 104.3 Hz, 16 people, 155 executions labelled per sample; stamps in ms that repeat."""
    frame = pd.read_csv(shared_path("spsw-har-watch/watch_accel_s01-s16.csv.gz"))
    return tuple(
        Recording(
            str(name),
            part["timestamp_ms"].to_numpy(dtype=np.int64) * 1000,
            part[["x_acc", "y_acc", "z_acc"]].to_numpy() / STANDARD_GRAVITY_M_S2,
            104.3,
            part["label"].to_numpy().astype("U"),
        )
        for name, part in frame.groupby("execution_id", sort=True)
    )


@cache
def stress_predict(subject: str) -> Recording:
    """Empatica E4 at 32 Hz in steps of 1/64 g, about 55 min; subjects S01, S02, S10."""
    path = shared_path(f"stress-predict-e4/{subject}/ACC.csv.gz")
    rows = np.loadtxt(path, delimiter=",")
    start_us, rate_hz = int(rows[0, 0] * 1e6), float(rows[1, 0])
    accel_g = rows[2:] / 64.0
    return Recording(subject, start_us + _even_us(len(accel_g), rate_hz), accel_g, rate_hz)


@cache
def stress_predict_heart_rate(subject: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the same wristband's heart rate, one reading a second: microseconds since the epoch, beats per minute."""
    rows = np.loadtxt(shared_path(f"stress-predict-e4/{subject}/HR.csv"))
    return int(rows[0] * 1e6) + _even_us(len(rows) - 2, float(rows[1])), rows[2:]


@cache
def oxford_trial(name: str) -> Recording:
    """Phone at 100 to 405 Hz, walking; `OXFORD_STEPS` holds the truth."""
    path = shared_path(f"oxford-stepcounter/{name}/accelerometer.csv.gz")
    frame = pd.read_csv(path, header=None, names=["time_ns", "accuracy", "x", "y", "z"])
    time_us = frame["time_ns"].to_numpy(dtype=np.int64) // 1000
    accel_g = frame[["x", "y", "z"]].to_numpy() / STANDARD_GRAVITY_M_S2
    return Recording(name, time_us, accel_g, float(1e6 / np.median(np.diff(time_us))))


@cache
def harlab_wrist() -> Recording:
    """ActiGraph at exactly 100 Hz, 15 min of walking, stairs, treadmill and running."""
    frame = pd.read_csv(shared_path("harlab-actigraph-wrist/028wrist.csv.gz"), skiprows=10)
    start = pd.Timestamp(str(frame.iloc[0, 0]), tz="UTC")
    time_us = start.value // 1000 + _even_us(len(frame), 100.0)
    return Recording("harlab-028", time_us, frame.iloc[:, 1:4].to_numpy(dtype=np.float64), 100.0)


@cache
def endaq_piezo() -> Recording:
    """Tri-axial piezo accelerometer at 20 kHz for 9.66 s, knocked to over 100 g; offset of 1 g, no gravity."""
    return _endaq("pe100g", 20_000.0)


@cache
def endaq_dc() -> Recording:
    """The same motion from a DC accelerometer at 502.6 Hz."""
    return _endaq("dc40g", 502.6)


@cache
def seglearn_watch() -> tuple[Recording, ...]:
    """Smartwatch at 50 Hz, 10 people, 140 recordings of shoulder exercises; name: subject and position."""
    held = _seglearn()
    return tuple(
        Recording(f"subject-{subject}-{position}", _even_us(len(rows), 50.0), np.array(rows[:, :3]), 50.0)
        for position, (subject, rows) in enumerate(zip(held["subject"], held["X"], strict=True))
    )


@cache
def seglearn_exercises() -> tuple[str, ...]:
    """Return the exercise of each of them, as a label."""
    held = _seglearn()
    return tuple(label_name(held["y_labels"][number]) for number in held["y"])


def _seglearn() -> dict[str, Any]:
    spec = importlib.util.find_spec("seglearn")
    if spec is None or spec.origin is None:
        pytest.skip("seglearn recordings absent")
    path = Path(spec.origin).parent / "data" / "watch_dataset.npy"
    held: dict[str, Any] = np.load(path, allow_pickle=True).item()
    return held


def _endaq(channel: str, rate_hz: float) -> Recording:
    with np.load(shared_path("endaq-hirate/Cloud_Test_000000_accel.npz")) as held:
        time_us = np.round(held[f"{channel}_t_us"]).astype(np.int64)
        return Recording(channel, time_us, held[f"{channel}_g"].astype(np.float64), rate_hz)


def _even_us(size: int, rate_hz: float) -> NDArray[np.int64]:
    return np.round(np.arange(size) * 1e6 / rate_hz).astype(np.int64)
