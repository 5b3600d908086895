"""Movement measures equal the published implementation and the figures of the real recordings."""

from __future__ import annotations

import numpy as np
import pytest

from wearables_platform.signals.cleaning import clean
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import compute_windows


def one_table(accel_g: np.ndarray, rate_hz: float, start_us: int = 0) -> SampleTable:
    time_us = start_us + np.round(np.arange(len(accel_g)) * 1e6 / rate_hz).astype(np.int64)
    return SampleTable.build(device=0, time_us=time_us, rate_hz=rate_hz, accel_g=accel_g)


def test_a_window_of_known_samples_has_known_features() -> None:
    t = np.arange(300) / 100.0
    accel_g = np.zeros((300, 3))
    accel_g[:, 2] = 1.0 + 0.5 * np.sin(2 * np.pi * 5.0 * t)
    row = compute_windows(one_table(accel_g, 100.0)).take(slice(1, 2))
    assert row["n_samples"][0] == 100
    assert row["coverage"][0] == 1.0
    assert row["dominant_hz"][0] == 5.0
    assert row["vm_mean_g"][0] == pytest.approx(1.0)
    assert row["vm_std_g"][0] == pytest.approx(0.5 / np.sqrt(2))
    assert row["enmo_mg"][0] == pytest.approx(500 / np.pi, rel=0.01)
    assert (row["angle_z_deg"][0], row["pitch_deg"][0], row["roll_deg"][0]) == (90.0, 0.0, 0.0)
    assert row["peaks"][0] == 5
    assert row["zero_crossings"][0] in (9, 10)
    assert row["glitches"][0] == row["clipped"][0] == row["flags"][0] == 0
    assert np.isnan(row["peak_g"][0])


def flags_of(samples: SampleTable, second: int) -> QualityFlag:
    rows = compute_windows(samples)
    return QualityFlag(int(rows["flags"][rows.start_us == second * 1_000_000][0]))


def resting(seconds: int = 5) -> np.ndarray:
    return np.tile([0.0, 0.6, 0.8], (seconds * 100, 1)) + np.random.default_rng(2).normal(0, 0.01, (seconds * 100, 3))


def test_what_is_wrong_with_a_window_is_said_by_its_flags() -> None:
    accel_g = resting()
    accel_g[250, 1] = np.nan
    accel_g[150, 0] = 5.0
    accel_g[350:352, 0] = 16.0
    samples = one_table(accel_g, 100.0)
    assert flags_of(samples, 0) == QualityFlag(0)
    assert flags_of(samples, 1) == QualityFlag.GLITCH
    assert flags_of(samples, 2) == QualityFlag.NON_FINITE | QualityFlag.GAP
    assert flags_of(samples, 3) == QualityFlag.CLIPPED | QualityFlag.GLITCH | QualityFlag.JUMP
    kept = np.delete(np.arange(500), np.arange(420, 440))
    assert flags_of(samples.take(kept), 4) == QualityFlag.GAP
    double = one_table(np.repeat(resting(), 2, axis=0), 200.0)
    assert flags_of(SampleTable.build(device=0, time_us=double.time_us, rate_hz=100.0, accel_g=double.accel_g), 1) == (
        QualityFlag.RATE_MISMATCH
    )


def test_values_that_are_not_finite_never_reach_a_row() -> None:
    accel_g = resting()
    accel_g[200:300] = np.inf
    accel_g[310, 2] = np.nan
    rows = compute_windows(one_table(accel_g, 100.0))
    assert rows["n_samples"].tolist() == [100, 100, 0, 99, 100]
    assert np.isnan(rows["vm_mean_g"]).tolist() == [False, False, True, False, False]
    clean = compute_windows(one_table(resting(), 100.0))
    for name in ("vm_mean_g", "enmo_mg", "x_std_g"):
        assert rows[name][[0, 4]].tolist() == clean[name][[0, 4]].tolist()


def test_a_stuck_sensor_is_flagged_from_its_second_second_on() -> None:
    accel_g = resting()
    accel_g[110:209] = accel_g[110]
    assert not any(QualityFlag.STUCK in flags_of(one_table(accel_g, 100.0), second) for second in range(5))
    accel_g[110:215] = accel_g[110]
    stuck = [QualityFlag.STUCK in flags_of(one_table(accel_g, 100.0), second) for second in range(5)]
    assert stuck == [False, False, True, False, False]
    accel_g[450] = 0.0
    assert QualityFlag.STUCK in flags_of(one_table(accel_g, 100.0), 4)


def marked(accel_g: np.ndarray, rate_hz: float, flag: QualityFlag) -> list[int]:
    return np.flatnonzero(clean(one_table(accel_g, rate_hz)).flags & flag).tolist()


def test_a_sensor_is_stuck_on_the_sample_that_completes_a_second() -> None:
    accel_g = resting()
    accel_g[110:215] = accel_g[110]
    samples = one_table(accel_g, 100.0)
    for size, stuck in ((209, False), (210, True)):
        rows = compute_windows(samples.take(slice(0, size)))
        assert (QualityFlag.STUCK in QualityFlag(int(rows["flags"][-1]))) is stuck


@pytest.mark.parametrize(
    ("rate_hz", "limit_g", "lag"), [(32.0, 25.0, 1), (50.0, 16.0, 1), (100.0, 8.0, 1), (405.0, 7.901, 4)]
)
def test_a_jump_is_a_change_of_8_g_in_10_ms_at_every_rate(rate_hz: float, limit_g: float, lag: int) -> None:
    accel_g = np.tile([0.0, 0.0, 1.0], (60, 1))
    for change_g, expected in ((limit_g - 0.1, []), (limit_g + 0.1, list(range(30, 30 + lag)))):
        accel_g[30:, 0] = change_g
        assert marked(accel_g, rate_hz, QualityFlag.JUMP) == expected


def test_a_jump_back_and_forth_is_a_glitch_and_a_lasting_one_is_kept() -> None:
    accel_g = resting()
    accel_g[150, 0] += 9.0
    accel_g[250:256, 0] += 9.0
    samples = one_table(accel_g, 100.0)
    assert flags_of(samples, 1) == QualityFlag.GLITCH | QualityFlag.JUMP
    assert flags_of(samples, 2) == QualityFlag.JUMP
    assert np.array_equal(clean(samples).accel_g[250:256], samples.accel_g[250:256])


def test_source_counts_and_peaks_reach_the_row() -> None:
    samples = one_table(resting(), 100.0)
    counts, peaks = np.zeros(500, dtype=np.int32), np.full(500, np.nan, dtype=np.float32)
    counts[120], peaks[[120, 130]] = 3, [7.0, 5.0]
    columns = {**vars(samples), "glitches": counts, "clipped": counts * 2, "peak_raw_g": peaks * 2, "peak_g": peaks}
    row = compute_windows(SampleTable(**columns)).take(slice(1, 2))
    assert (row["glitches"][0], row["clipped"][0], row["peak_raw_g"][0], row["peak_g"][0]) == (3, 6, 14.0, 7.0)
    assert QualityFlag(int(row["flags"][0])) == QualityFlag.GLITCH | QualityFlag.CLIPPED
