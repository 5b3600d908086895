"""Reading recordings: every row is a sample or counted with its reason, whatever the file looks like."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.acceleration import Sampling
from wearables_platform.edge.recordings import (
    STANDARD_GRAVITY_M_S2,
    ReadOptions,
    Recording,
    read_recordings,
    replay_messages,
    require_event_time,
)
from wearables_platform.edge.watch_recordings import PEOPLE, recordings_of, watch_recordings
from wearables_platform.errors import ConfigError
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.recordings import shared_path

AXES = ("x", "y", "z")
BAD_ROWS = """t,x,y,z,who
1000,0.1,0.2,1.0,a
1010,0.1,0.2,1.1,a
1010,0.1,0.2,1.1,a
1010,0.1,0.2,1.2,a
1005,0.1,0.2,1.0,a
1020,nan,0.2,1.0,a
1030,0.1,,1.0,a
1040,inf,0.2,1.0,a
1050,zero,0.2,1.0,a
soon,0.1,0.2,1.0,a
1060,0.1,0.2
1070,0.1,0.2,1.0,a
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_every_row_is_a_sample_or_has_a_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.csv", BAD_ROWS)
    (recording,) = read_recordings(path, ReadOptions(AXES, "g", time="t", time_unit="ms"))
    assert recording.time_us.tolist() == [1_000_000, 1_010_000, 1_010_000, 1_070_000]
    assert recording.skipped == {"unparsable": 3, "non_finite": 3, "backward_time": 1, "repeated_row": 1}
    assert len(recording) + sum(recording.skipped.values()) == 12


def test_labels_stay_with_the_samples_that_are_used_and_become_spans(tmp_path: Path) -> None:
    said = ["what", "SITTING DOWN", "SITTING DOWN", "gone", "", "Walk", "gone", *[""] * 5, "Walk"]
    rows = [f"{row},{label}" for row, label in zip(BAD_ROWS.splitlines(), said, strict=True)]
    path = write(tmp_path / "said.csv", "\n".join(rows) + "\n")
    (recording,) = read_recordings(path, ReadOptions(AXES, "g", time="t", time_unit="ms", rate_hz=100.0, label="what"))
    assert recording.labels is not None
    assert recording.labels.tolist() == ["sitting_down", "sitting_down", "", "walk"]
    spans = [(span.label, span.start_us, span.end_us) for span in recording.label_spans()]
    assert spans == [("sitting_down", 1_000_000, 1_020_000), ("walk", 1_070_000, 1_080_000)]


def test_a_label_without_a_letter_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "said.csv", "t,x,y,z,what\n0,0,0,1,42\n")
    with pytest.raises(ConfigError, match="label '42' is none"):
        read_recordings(path, ReadOptions(AXES, "g", time="t", label="what"))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize(("unit", "factor"), [("g", 1.0), ("m/s2", STANDARD_GRAVITY_M_S2)])
@pytest.mark.parametrize(("time_unit", "per_s"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_formats_and_units_mean_the_same(
    tmp_path: Path, suffix: str, unit: str, factor: float, time_unit: str, per_s: int
) -> None:
    stamps_us = 1_774_742_400_000_000 + np.arange(50) * 20_000
    values_g = np.random.default_rng(1).normal(0, 1, (50, 3))
    whole = stamps_us * (per_s // 10**6) if per_s >= 10**6 else stamps_us * per_s // 10**6
    time = stamps_us / 1e6 if time_unit == "s" else whole
    frame = pd.DataFrame({"when": time, **dict(zip(AXES, (values_g * factor).T, strict=True))})
    path = tmp_path / f"recording{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    (recording,) = read_recordings(path, ReadOptions(AXES, unit, time="when", time_unit=time_unit))
    np.testing.assert_allclose(recording.time_us, stamps_us, atol=1)
    np.testing.assert_allclose(recording.accel_g, values_g, rtol=1e-12)
    assert recording.rate_hz == pytest.approx(50.0, rel=1e-4)


def test_groups_are_recordings_of_their_own(tmp_path: Path) -> None:
    rows = "".join(f"{t},0,0,{value},{who}\n" for who, value in (("b", 1), ("a", 2)) for t in range(3))
    path = write(tmp_path / "two.csv", "t,x,y,z,who\n" + rows)
    first, second = read_recordings(path, ReadOptions(AXES, "g", time="t", group="who"))
    assert (first.group, second.group) == ("b", "a")
    assert (set(first.accel_g[:, 2]), set(second.accel_g[:, 2])) == ({1.0}, {2.0})


def test_a_file_without_header_or_stamps_takes_numbers_a_rate_and_a_start(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv.gz"
    with gzip.open(path, "wt") as stream:
        stream.write("1644226061.0, 1644226061.0, 1644226061.0\n32.0, 32.0, 32.0\n" + "-2,43,43\n" * 64)
    start = datetime(2026, 4, 1, tzinfo=UTC)
    options = ReadOptions(("0", "1", "2"), "g", scale=1 / 64, header=False, skip_rows=2, rate_hz=32.0, start=start)
    (recording,) = read_recordings(path, options)
    assert len(recording) == 64
    assert recording.time_us[[0, 32]].tolist() == [to_us(start), to_us(start) + 1_000_000]
    assert recording.accel_g[0].tolist() == [-2 / 64, 43 / 64, 43 / 64]


def test_stamps_may_be_text_in_a_zone(tmp_path: Path) -> None:
    path = write(
        tmp_path / "text.csv", "t,x,y,z\n3/22/2023 09:17:00.000,0,0,1\n3/22/2023 09:17:00.010,0,0,1\nlater,0,0,1\n"
    )
    options = ReadOptions(AXES, "g", time="t", time_format="%m/%d/%Y %H:%M:%S.%f", time_zone="America/Los_Angeles")
    (recording,) = read_recordings(path, options)
    assert recording.time_us[0] == to_us(datetime(2023, 3, 22, 16, 17, tzinfo=UTC))
    assert recording.time_us[1] - recording.time_us[0] == 10_000
    assert recording.skipped == {"unparsable": 1}


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("a,b\n1,2\n", {"time": "t"}, "no column 't'"),
        ("t,x,y,z\n", {"time": "t", "unit": "mg"}, "--unit"),
        ("t,x,y,z\n", {"time": "t", "time_unit": "min"}, "--time-unit"),
        ("t,x,y,z\n", {}, "--rate-hz"),
        ("1,2,3,4\n", {"time": "t", "header": False}, "numbers from 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, options: dict[str, object], named: str) -> None:
    path = write(tmp_path / "wrong.csv", text)
    with pytest.raises(ConfigError, match=named):
        read_recordings(path, ReadOptions(**{"axes": AXES, "unit": "g", **options}))  # type: ignore[arg-type]


def test_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.npz", "x")
    with pytest.raises(ConfigError, match=r"\.csv"):
        read_recordings(path, ReadOptions(AXES, "g", time="t"))


def test_stamps_that_are_no_times_of_day_need_a_start() -> None:
    recording = Recording("", np.array([263_239_144_953, 263_239_149_989]), np.ones((2, 3)), 200.0)
    with pytest.raises(ConfigError, match="--start"):
        require_event_time(recording)


def test_a_replay_is_the_same_each_time_and_holds_every_sample() -> None:
    for device_id, recording in list(recordings_of(["a", "b"], datetime(2026, 3, 28, tzinfo=UTC)))[:3]:
        sampling = Sampling(recording.rate_hz, target_rate_hz=50.0, blocks_per_message=10)
        messages = list(replay_messages(device_id, recording, sampling))
        assert messages == list(replay_messages(device_id, recording, sampling))
        opened = [pb.AccelerationBatch.FromString(message.payload) for message in messages]
        sent_g = np.concatenate([np.frombuffer(each.samples, "<f4") for each in opened]).reshape(-1, 3)
        np.testing.assert_array_equal(sent_g, recording.accel_g.astype(np.float32))
        other = next(replay_messages(device_id, recording, Sampling(50.0, 50.0, blocks_per_message=5)))
        assert other.identity.boot_id != messages[0].identity.boot_id


def test_the_watch_recordings_are_all_there_and_never_overlap() -> None:
    held = list(watch_recordings(datetime(2026, 3, 28, tzinfo=UTC)))
    assert len(held) == 140
    assert sum(len(recording) for _, recording in held) == 244_102
    for person in range(1, PEOPLE + 1):
        own = [recording for number, recording in held if number == person]
        assert len(own) == 14
        ends, starts = [r.time_us[-1] for r in own[:-1]], [r.time_us[0] for r in own[1:]]
        assert all(start - end >= 10_000_000 for start, end in zip(starts, ends, strict=True))


def test_a_real_watch_loses_no_sample_to_its_repeated_stamps() -> None:
    path = shared_path("spsw-har-watch/watch_accel_s01-s16.csv.gz")
    options = ReadOptions(
        ("x_acc", "y_acc", "z_acc"), "m/s2", time="timestamp_ms", time_unit="ms", group="execution_id"
    )
    recordings = read_recordings(path, options)
    assert (len(recordings), sum(map(len, recordings))) == (155, 181_178)
    assert all(not recording.skipped for recording in recordings)
    assert np.median([recording.rate_hz for recording in recordings]) == pytest.approx(104.3, abs=0.1)
