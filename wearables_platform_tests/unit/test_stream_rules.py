"""Rules in a lane, without engine or stores: what two topics say together, however they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from stream import rule_rows
from stream.lane import Lane, lane_at_the_beginning
from stream.partition import Harvest, PartitionRules
from stream.rules import LiveRules
from stream.state import read_records, write_record
from wearables_platform.clients.kafka import Fetch
from wearables_platform.clients.latest import newest_values, unpacked
from wearables_platform.domain.channels import ACCELERATION, CHANNELS, VITALS, Channel
from wearables_platform.errors import LogPositionError
from wearables_platform.signals.device_rules import DeviceRules, final_findings
from wearables_platform.signals.minutes import Readings
from wearables_platform.signals.rolling import ROLLING
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.stream_logs import START_US, NoModel, Record, batch_rows, message

S_US = 1_000_000
TEN_S_US = 10 * S_US
MESSAGES = 6 * 22  # of ten seconds each
TOPICS = {channel.topic: "log-1" for channel in CHANNELS}


def heart(sequence: int, first_s: int, bpm: float) -> bytes:
    """A minute of heart rate, a reading every five seconds."""
    times = [START_US + (first_s + at) * S_US for at in range(0, 60, 5)]
    return pb.VitalsBatch(
        device_id="watch-1",
        boot_id=9,
        sequence=sequence,
        start_time_us=times[0],
        heart_rate=[pb.HeartRate(time_us=time_us, bpm=bpm) for time_us in times],
    ).SerializeToString(deterministic=True)


def movement() -> list[Record]:
    return [
        Record(
            START_US + (n + 1) * TEN_S_US,
            "watch-1",
            message("watch-1", 5, n, START_US + n * TEN_S_US, n * TEN_S_US, n=100, rate_hz=10.0),
        )
        for n in range(MESSAGES)
    ]


def pulses(*, late_s: int = 10) -> list[Record]:
    """Heart rate per minute, implausible in minutes 5 and 6, each logged this long after its minute."""
    return [
        Record(
            START_US + (60 * (minute + 1) + late_s) * S_US,
            "watch-1",
            heart(minute, 60 * minute, 240.0 if minute in (5, 6) else 71.0),
        )
        for minute in range(22)
    ]


def fetch(channel: Channel, records: list[Record], begin: int, end: int) -> Fetch:
    part = records[begin:end]
    return Fetch(
        channel.topic,
        0,
        np.arange(begin, end, dtype=np.int64),
        np.array([record.at_us for record in part], np.int64),
        [record.device_id.encode() for record in part],
        [record.payload for record in part],
    )


@dataclass
class Reading:
    """A lane that is read in portions, and saved after each."""

    lane: Lane = field(init=False)
    saved: list[bytes] = field(default_factory=list)
    harvests: list[Harvest] = field(default_factory=list)

    def __post_init__(self) -> None:
        state = replace(lane_at_the_beginning(0, TOPICS), rules=DeviceRules())
        self.saved.append(b"".join(write_record(state, whole=True)))
        self.resume()

    def resume(self) -> None:
        """Go on from what was saved."""
        state = read_records(self.saved, DeviceRules())
        assert isinstance(state.rules, DeviceRules)
        self.lane = Lane(state, PartitionRules(flush_us=0), NoModel(), LiveRules(state.rules, state.devices))

    def take(self, *fetches: Fetch) -> None:
        self.harvests += self.lane.take(fetches, int(max(one.append_us.max() for one in fetches)))
        self.saved.append(b"".join(write_record(self.lane.state, whole=False)))

    def read_as_logged(self, portion: int) -> None:
        """Read both topics in the order of their append times, resuming after every portion."""
        logs = {ACCELERATION: movement(), VITALS: pulses()}
        done = dict.fromkeys(logs, 0)
        until_us = START_US
        while any(done[channel] < len(records) for channel, records in logs.items()):
            until_us += portion * TEN_S_US
            fetches = []
            for channel, records in logs.items():
                end = sum(record.at_us <= until_us for record in records)
                if end > done[channel]:
                    fetches.append(fetch(channel, records, done[channel], end))
                    done[channel] = end
            if fetches:
                self.take(*fetches)
                self.resume()

    @property
    def findings(self) -> list:
        return [harvest.ruled.findings for harvest in self.harvests if harvest.ruled is not None]

    def events(self) -> list[tuple[str, int, int, float, bool]]:
        """Return kind, start and end in minutes, value, whether still open."""
        return [
            (event["kind"], (event["start_us"] - START_US) // (60 * S_US), (event["end_us"] - START_US) // (60 * S_US),
             event["extreme_value"], event["provisional"])
            for harvest in self.harvests
            if harvest.ruled is not None
            for event in rule_rows.rule_events(harvest.ruled)
        ]  # fmt: skip


IMPLAUSIBLE = [("implausible_heart_rate", 5, 6, 240.0, True), ("implausible_heart_rate", 5, 7, 240.0, False)]


@pytest.mark.parametrize("portion", [5, 17])
def test_an_event_is_said_when_it_begins_and_when_it_is_over_also_across_resumes(portion: int) -> None:
    reading = Reading()
    reading.read_as_logged(portion)
    assert [event for event in reading.events() if event[0] == "implausible_heart_rate"] == IMPLAUSIBLE
    assert not sum(len(found.late) for found in reading.findings)


def test_the_order_in_which_topics_are_read_makes_nothing_late() -> None:
    for first, second in ((VITALS, ACCELERATION), (ACCELERATION, VITALS)):
        reading, logs = Reading(), {ACCELERATION: movement(), VITALS: pulses()}
        reading.take(fetch(first, logs[first], 0, len(logs[first])))
        reading.take(fetch(second, logs[second], 0, len(logs[second])))
        assert [event for event in reading.events() if event[0] == "implausible_heart_rate"] == IMPLAUSIBLE
        assert not sum(len(found.late) for found in reading.findings)


def test_a_heart_rate_that_comes_minutes_late_marks_its_minute() -> None:
    reading, steps = Reading(), movement()
    reading.take(fetch(ACCELERATION, steps, 0, 90), fetch(VITALS, pulses(), 0, 3))
    reading.harvests += reading.lane.wait([VITALS.topic, ACCELERATION.topic], START_US + 905 * S_US)
    assert not reading.events()
    reading.take(fetch(VITALS, pulses(late_s=800), 3, 5))
    columns = rule_rows.late_minute_columns(reading.harvests)
    assert (columns["topics"], columns["read"], columns["partitions"]) == ([VITALS.topic] * 2, [5] * 2, [0] * 2)
    assert [(at.minute, device) for at, device in zip(columns["starts"], columns["device_ids"], strict=True)] == [
        (3, "watch-1"),
        (4, "watch-1"),
    ]


def test_what_the_stream_says_is_what_batch_computes() -> None:
    reading, records = Reading(), movement()
    reading.read_as_logged(7)
    _, rows, _ = batch_rows(records, set())
    seconds = np.concatenate([np.arange(60 * minute, 60 * minute + 60, 5) for minute in range(22)])
    bpm = np.where(np.isin(seconds // 60, (5, 6)), 240.0, 71.0)
    readings = Readings.of(np.zeros(len(seconds), np.int32), START_US + seconds * S_US, bpm, seconds // 60)
    whole = final_findings(rows, readings, 1)
    said = np.concatenate([found.rolling for found in reading.findings])
    assert len(said) > 200
    assert said.dtype == ROLLING
    until_us = int(said["start_us"].max()) - 60 * S_US
    expected = whole.rolling[whole.rolling["start_us"] < until_us]
    assert sorted(map(bytes, said[said["start_us"] < until_us])) == sorted(map(bytes, expected))
    over = np.concatenate([found.events[~found.events["open"]] for found in reading.findings])
    expected = whole.events[whole.events["end_us"] < until_us - 120 * S_US]
    assert set(map(bytes, expected)) <= set(map(bytes, over)) <= set(map(bytes, whole.events))


def test_the_newest_rolling_row_and_wear_of_a_device_are_shown() -> None:
    reading = Reading()
    reading.read_as_logged(17)
    shown = newest_values(
        batch for one in reading.harvests if one.ruled is not None for batch in rule_rows.latest_of_rules(one.ruled)
    )
    rolling, wear = (unpacked(shown[group]["watch-1"]) for group in ("rolling", "wear"))
    assert (
        int(rolling["rolling_start_us"]) == START_US + 1_250 * S_US
    )  # data end at 1,320: the last ten seconds are not over
    assert float(rolling["rolling_coverage"]) == 1.0
    assert (wear["wear"], int(wear["wear_start_us"])) == ("unknown", START_US)


def without_rules() -> bytes:
    return b"".join(write_record(lane_at_the_beginning(0, TOPICS), whole=True))


def with_other_rules() -> bytes:
    rules = DeviceRules()
    rules.grow(3)
    rules.minutes.memory = np.zeros(3, [("hour", np.int32), ("rest_tick", np.int32)])  # as an earlier version had it
    return b"".join(write_record(replace(lane_at_the_beginning(0, TOPICS), rules=rules), whole=True))


@pytest.mark.parametrize(
    ("saved", "says"), [(without_rules, "says nothing of rules"), (with_other_rules, "another form of rules")]
)
def test_a_state_saved_without_rules_or_with_other_ones_is_refused_in_one_line(
    saved: Callable[[], bytes], says: str
) -> None:
    with pytest.raises(LogPositionError, match=says) as refused:
        read_records([saved()], DeviceRules())
    assert "remove the stream's recovery directory" in str(refused.value)
    assert "\n" not in str(refused.value)
