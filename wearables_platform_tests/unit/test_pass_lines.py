"""The lines that the signal kernels pass on real recordings, one test for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from skdh.activity.metrics import metric_anglez, metric_enmo, metric_mad
from skdh.preprocessing import AccelThresholdWearDetection

from wearables_platform.domain.channels import QUANTITY_BY_NAME, VITALS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import HeartRateReading, Vitals, encode_vitals
from wearables_platform.signals.decimate import block_mean
from wearables_platform.signals.downsample import downsample, plan
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.glitches import remove_glitches
from wearables_platform.signals.motion import enmo_mg, mad_mg, row_mean, vector_magnitude_g
from wearables_platform.signals.offline import AnalysisParams, analyze_recording
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import Segments, continuity_breaks, segments_from_breaks
from wearables_platform.signals.wear import WearRule, WearState
from wearables_platform.signals.windows import compute_windows
from wearables_platform.wire.codec import decode
from wearables_platform_tests.recordings import (
    OXFORD_STEPS,
    Recording,
    harlab_wrist,
    oxford_trial,
    seglearn_watch,
    spsw_watch,
    stress_predict,
    stress_predict_heart_rate,
)
from wearables_platform_tests.simulated_motion import at_rest

Recordings = Callable[[], tuple[Recording, ...]]
Floats = NDArray[np.float64]

WATCHES: dict[str, Recordings] = {
    "spsw, 104 Hz": spsw_watch,
    "seglearn, 50 Hz": seglearn_watch,
    "harlab, 100 Hz": lambda: (harlab_wrist(),),
}
on_every_watch = pytest.mark.parametrize("recordings", WATCHES.values(), ids=WATCHES)

E4_ACCELERATION = {"S01": (104_310, 13.43), "S02": (114_054, 16.63), "S10": (97_200, 5.74)}
E4_CLIPPED = {"S01": 31, "S02": 22, "S10": 2}
E4_HEART_RATE = {"S01": (3_250, 71.90), "S02": (3_555, 78.45), "S10": (3_028, 88.40)}


def one_table(recordings: tuple[Recording, ...]) -> tuple[SampleTable, Segments]:
    tables = [
        SampleTable.build(device=number, time_us=r.time_us, rate_hz=r.rate_hz, accel_g=r.accel_g)
        for number, r in enumerate(recordings)
    ]
    table = SampleTable.concat(tables).sorted()
    return table, segments_from_breaks(continuity_breaks(table))


def replaced(accel_g: Floats, table: SampleTable, segments: Segments) -> NDArray[np.bool_]:
    return remove_glitches(accel_g, table.rate_hz, segments)[1]


@on_every_watch
def test_injected_spikes_of_2_to_8_g_are_found_and_hardly_anything_else_is(recordings: Recordings) -> None:
    table, segments = one_table(recordings())
    rng = np.random.default_rng(20)
    every = np.arange(50, len(table) - 50, 50)
    at = every + rng.integers(-20, 20, len(every))
    spoilt = table.accel_g.astype(np.float64)
    spoilt[at, 0] += rng.uniform(2, 8, len(at)) * rng.choice([-1.0, 1.0], len(at))
    found, planted = replaced(spoilt, table, segments), np.zeros(len(table), dtype=np.bool_)
    planted[at] = True
    long_enough = (segments.last - segments.first >= 6)[at]
    assert found[at][long_enough].mean() >= 0.99
    assert (found & planted).sum() >= 0.93 * found.sum()
    assert (found & ~planted).mean() <= 0.001
    assert replaced(table.accel_g.astype(np.float64), table, segments).mean() <= 0.001


@pytest.mark.parametrize(
    ("recordings", "shortest_ms", "touched"),
    [
        (spsw_watch, 30.0, 0.0),
        (lambda: (harlab_wrist(),), 30.0, 0.005),
        (seglearn_watch, 60.0, 0.01),  # at 50 Hz 30 ms are one sample and a half: no width tells them from a spike
    ],
    ids=WATCHES,
)
def test_movement_peaks_of_30_ms_or_more_are_untouched(
    recordings: Recordings, shortest_ms: float, touched: float
) -> None:
    table, segments = one_table(recordings())
    rng = np.random.default_rng(5)
    moved, spans = table.accel_g.astype(np.float64), []
    before = replaced(moved, table, segments)
    for at in range(150, len(table) - 150, 150):
        if segments.first[at - 60] == segments.first[at + 60]:
            pulse = half_sine(rng, float(table.rate_hz[at]), rng.uniform(shortest_ms, 300))
            moved[at : at + len(pulse)] += pulse
            spans.append(slice(at, at + len(pulse)))
    found = replaced(moved, table, segments) & ~before
    assert len(spans) > 500
    assert np.mean([found[span].any() for span in spans]) <= touched


def half_sine(rng: np.random.Generator, rate_hz: float, duration_ms: float) -> Floats:
    """Return a movement of 4-12 g as a block mean sees it, begun anywhere within the first sample."""
    period_ms, steps = 1000 / rate_hz, 100
    offset_ms = rng.uniform(0, period_ms)
    size = int(np.ceil((duration_ms + offset_ms) / period_ms)) + 1
    phase = (np.arange(size * steps) / steps * period_ms - offset_ms) / duration_ms
    shape = np.where((phase >= 0) & (phase <= 1), np.sin(np.pi * phase), 0.0).reshape(size, steps).mean(axis=1)
    direction = rng.normal(size=3)
    return np.asarray(rng.uniform(4, 12) * shape[:, None] * direction / np.linalg.norm(direction))


def test_steps_of_the_walking_trials_are_within_3_percent_and_none_is_worse_than_10() -> None:
    errors = []
    for name, truth in OXFORD_STEPS.items():
        recording = oxford_trial(name)
        steps = analyze_recording(recording.time_us, recording.accel_g).steps
        errors.append(abs(steps - truth) / truth)
    assert np.mean(errors) <= 0.03
    assert max(errors) <= 0.10


@pytest.mark.parametrize("noise_g", [0.0, 0.01, 0.03])
def test_a_still_recording_has_no_steps(noise_g: float) -> None:
    accel_g = at_rest(np.random.default_rng(4), 120, 100.0, noise_g)
    assert analyze_recording(np.arange(len(accel_g)) * 10_000, accel_g).steps == 0


def test_a_seated_recording_has_at_most_one_step_a_minute() -> None:
    minutes = steps = 0.0
    for recording in spsw_watch():
        seated = recording.labels == "SEATED"
        summary = analyze_recording(recording.time_us[seated], recording.accel_g[seated])
        steps, minutes = steps + summary.steps, minutes + summary.seconds / 60
    assert steps / minutes <= 1.0


@pytest.mark.parametrize("subject", sorted(E4_ACCELERATION))
def test_an_hour_at_a_desk_has_at_most_one_step_a_minute(subject: str) -> None:
    recording = stress_predict(subject)
    summary = analyze_recording(recording.time_us, recording.accel_g)
    assert summary.steps / (summary.seconds / 60) <= 1.0


@on_every_watch
def test_enmo_and_mad_equal_scikit_digital_health_to_1e_6(recordings: Recordings) -> None:
    for recording in recordings()[:40]:
        epoch = round(recording.rate_hz)
        accel_g = recording.accel_g[: len(recording.accel_g) // epoch * epoch]
        vm_g = vector_magnitude_g(accel_g).reshape(-1, epoch)
        enmo = 1000 * metric_enmo(accel_g, wlen=epoch, take_abs=False, trim_zero=True)
        np.testing.assert_allclose(enmo_mg(vm_g), enmo, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(mad_mg(vm_g), 1000 * metric_mad(accel_g, wlen=epoch), rtol=1e-6, atol=1e-9)


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")  # theirs, where a stuck sensor is all zero
@pytest.mark.parametrize("recording", [lambda: seglearn_watch()[0], harlab_wrist], ids=["seglearn", "harlab"])
def test_window_rows_equal_scikit_digital_health_to_1e_6(recording: Callable[[], Recording]) -> None:
    held = recording()
    rate = round(held.rate_hz)
    accel_g = held.accel_g[: len(held.accel_g) // rate * rate].astype(np.float32).astype(np.float64)
    time_us = np.arange(len(accel_g)) * (1_000_000 // rate)
    rows = compute_windows(SampleTable.build(device=0, time_us=time_us, rate_hz=rate, accel_g=accel_g))
    clean = (rows["flags"].astype(np.int64) & int(QualityFlag.GLITCH | QualityFlag.STUCK)) == 0
    assert clean.mean() > 0.9
    epochs = accel_g.reshape(-1, rate, 3)
    gravity_g = np.repeat(np.median(epochs, axis=1), rate, axis=0)
    expected = {
        "enmo_mg": 1000 * metric_enmo(accel_g, wlen=rate),
        "mad_mg": 1000 * metric_mad(accel_g, wlen=rate),
        "angle_z_deg": metric_anglez(gravity_g, wlen=rate),
        "pitch_deg": metric_anglez(gravity_g[:, [1, 2, 0]], wlen=rate),
        "vm_mean_g": row_mean(vector_magnitude_g(epochs)),
        **{f"{axis}_mean_g": epochs.mean(axis=1)[:, number] for number, axis in enumerate("xyz")},
    }
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name][clean], values[clean], rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("factor", [2, 3, 4, 160, 161, 200])
def test_the_block_mean_equals_numpy_to_1e_12(factor: int) -> None:
    accel_g = np.random.default_rng(factor).normal(0, 3, (2, 50 * factor, 3)).astype(np.float32)
    expected = accel_g.astype(np.float64).reshape(2, 50, factor, 3).mean(axis=2)
    np.testing.assert_allclose(block_mean(accel_g, factor), expected, rtol=1e-12, atol=1e-15)


def test_a_spike_of_100_g_is_the_raw_peak_of_its_block_and_not_its_peak() -> None:
    accel_g = np.zeros((1, 16_000, 3), dtype=np.float32)
    accel_g[0, 8_005, 0] = 100.0
    blocks = downsample(plan(16_000.0), accel_g)
    assert blocks.peak_raw_g[0].tolist() == [0, 0, 0, 0, 0, 100, 0, 0, 0, 0]
    assert block_mean(accel_g, 160)[0, 50, 0] == pytest.approx(0.625)
    assert blocks.peak_g.max() == blocks.accel_g.max() == 0.0
    assert blocks.glitches.sum() == blocks.glitches[0, 5] == 1
    assert blocks.clipped.sum() == blocks.clipped[0, 5] == 1


@pytest.mark.parametrize("subject", sorted(E4_ACCELERATION))
def test_samples_and_enmo_of_the_e4_wristband_are_exact(subject: str) -> None:
    recording = stress_predict(subject)
    summary = analyze_recording(recording.time_us, recording.accel_g, params=AnalysisParams(range_g=2.0))
    size, enmo = E4_ACCELERATION[subject]
    assert summary.clipped == E4_CLIPPED[subject]
    assert (summary.samples, summary.skipped, summary.rate_hz) == (size, {}, 32.0)
    assert summary.enmo_mg == pytest.approx(enmo, abs=0.005)
    assert 0 < summary.enmo_clean_mg < summary.enmo_mg


@pytest.mark.parametrize("subject", sorted(E4_HEART_RATE))
def test_readings_and_mean_heart_rate_of_the_e4_wristband_are_exact_over_the_wire(subject: str) -> None:
    time_us, bpm = stress_predict_heart_rate(subject)
    readings = [HeartRateReading(*reading) for reading in zip(time_us.tolist(), bpm.tolist(), strict=True)]
    sent = [
        encode_vitals(MessageIdentity(subject, 1, number), Vitals(tuple(readings[first : first + 60])), 0)
        for number, first in enumerate(range(0, len(readings), 60))
    ]
    heard = decode(VITALS, [message.payload for message in sent]).rows.column("heart_rate").flatten().field("bpm")
    received = heard.to_numpy()
    plausible = QUANTITY_BY_NAME["heart_rate"]
    kept = received[(received >= plausible.low) & (received <= plausible.high)]
    size, mean = E4_HEART_RATE[subject]
    assert len(received) == len(kept) == size
    assert kept.mean() == pytest.approx(mean, abs=0.005)


def test_wear_equals_the_rule_of_scikit_digital_health_with_planted_still_spans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three people's hour each at a desk, with the wristband on the table for two hours and for an hour and a half."""
    rate, quarter = 32, 32 * 900
    rng = np.random.default_rng(1)
    spans = [stress_predict("S01").accel_g[: 3 * quarter], lying(rng, 8 * quarter), stress_predict("S02").accel_g]
    spans[2] = spans[2][: 3 * quarter]
    spans += [lying(rng, 6 * quarter), stress_predict("S10").accel_g[: 3 * quarter]]
    accel_g = np.concatenate(spans)
    time_us = 1_700_000_100_000_000 + np.arange(len(accel_g)) * 1_000_000 // rate
    assert time_us[0] % 900_000_000 == 0

    theirs: list[NDArray[np.bool_]] = []

    def keep(nonwear: NDArray[np.bool_], *_: object) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        theirs.append(nonwear)
        return np.zeros(1, dtype=np.int_), np.ones(1, dtype=np.int_)

    monkeypatch.setattr(AccelThresholdWearDetection, "_modify_wear_times", staticmethod(keep))
    AccelThresholdWearDetection().predict(time=time_us / 1e6, accel=accel_g, fs=rate)

    rule = WearRule()
    rule.grow(1)
    rows = compute_windows(SampleTable.build(device=0, time_us=time_us, rate_hz=rate, accel_g=accel_g))
    ours = np.concatenate([rule.step(rows)[0]["state"], rule.finish()[0]["state"]])
    assert len(ours) == 23
    assert (ours[:3] == WearState.UNKNOWN).all()
    assert (ours[3:] == WearState.NOT_WORN).tolist() == theirs[0][:20].tolist()  # theirs: by the hour's first quarter
    not_worn = np.flatnonzero(ours == WearState.NOT_WORN).tolist()
    assert not_worn == [*range(6, 11), *range(17, 20)]


def lying(rng: np.random.Generator, size: int) -> Floats:
    """Return a device at rest with the noise of a good sensor, 3 mg."""
    return np.tile([0.1, -0.2, 0.97], (size, 1)) + rng.normal(0, 0.003, (size, 3))
