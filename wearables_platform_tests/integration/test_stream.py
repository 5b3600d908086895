"""The stream on real servers: values in Redis, rows in the database, dead letters and events in Kafka, models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stream.partition import Harvest, ScoredRows
from stream.sinks import history_writer, latest_writer, write_history
from stream.windows import Derived
from wearables_platform.clients.kafka import Producer
from wearables_platform.clients.lake import open_lake
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import (
    ACCELERATION,
    ANOMALIES_TOPIC,
    DEAD_LETTERS_TOPIC,
    MODELS_TOPIC,
    STATUS,
    VITALS,
)
from wearables_platform.domain.identity import MessageIdentity, boot_text
from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.messages import SensorReading, Vitals, encode_vitals
from wearables_platform.models.releases import ReleaseLog, release_of
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, write_table
from wearables_platform.models.train import ForestParams, train
from wearables_platform.sensor_catalogue import sensor_types
from wearables_platform.signals.events import EventRows, spike_events
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import compute_windows
from wearables_platform.wire.codec import decode, encode_samples_float32
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests import messages
from wearables_platform_tests.model_windows import draw_training_set
from wearables_platform_tests.servers import StartServer
from wearables_platform_tests.stream_logs import START_US, Record
from wearables_platform_tests.stream_rig import MODEL_SIGNING_KEY, StreamRig, whole_log

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.sql, pytest.mark.redis]


@pytest.fixture
def rig(start_server: StartServer, own_sql_url: str, tmp_path: Path) -> Iterator[StreamRig]:
    made = StreamRig(start_server("kafka").url, own_sql_url, start_server("redis").url, tmp_path / "run")
    made.extra = {"LAKE_URL": (tmp_path / "lake").as_uri(), "IDLE_AFTER_S": "0.5"}
    made.make_topics()
    yield made
    made.kill()


def moving(device_id: str, sequence: int, accel_g: np.ndarray) -> bytes:
    """A block of 100 ms at 100 Hz."""
    start_us = START_US + sequence * 100_000
    return pb.AccelerationBatch(
        device_id=device_id,
        boot_id=5,
        sequence=sequence,
        start_time_us=start_us,
        start_monotonic_us=sequence * 100_000,
        rate_hz=100.0,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=encode_samples_float32(accel_g),
        source_rate_hz=100.0,
        block_count=1,
    ).SerializeToString()


def with_a_spike(device_id: str, blocks: int = 150) -> list[Record]:
    """Rest, and one movement of 120 ms and 6 g at 5 s."""
    accel_g = np.zeros((blocks * 10, 3)) + (0, 0, 1)
    accel_g[500:512, 0] += 6 * np.sin(np.pi * (np.arange(12) + 0.5) / 12)
    return [
        Record(START_US + (i + 1) * 100_000, device_id, moving(device_id, i, accel_g[i * 10 : i * 10 + 10]))
        for i in range(blocks)
    ]


def test_what_devices_say_is_shown_stored_and_announced(rig: StreamRig) -> None:
    records = with_a_spike("watch-1")
    rig.send(records)
    rig.send([Record(START_US, "watch-1", messages.vitals("watch-1", i, bpm=60.0 + i)) for i in (1, 0)], VITALS)
    skin = Vitals(readings=(SensorReading("skin_temperature", START_US, 33.5), SensorReading("mood", START_US, 1.0)))
    warm = encode_vitals(MessageIdentity("watch-1", 8, 0), skin, 0).payload
    rig.send([Record(START_US, "watch-1", warm)], VITALS)
    rig.send([Record(START_US, "watch-1", messages.status("watch-1", 0))], STATUS)
    rig.send([Record(START_US, "watch-1", b"no message")])
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == len(records) + 5)
    rig.wait_until(lambda: rig.rows("SELECT count(*) AS n FROM telemetry.window_features")[0][0] == 15)
    assert rig.stop() == 0

    shown = LatestReader(rig.redis_url, "test", sensor_types=sensor_types()).latest(["watch-1"])[0]
    assert {name: text for name, text in shown.items() if name.startswith("sensor:")} == {
        "sensor:skin_temperature:value": "33.5",
        "sensor:skin_temperature:value:time_us": str(START_US),
        "sensor:skin_temperature:value:unit": "Cel",
    }
    assert (shown["sequence"], shown["boot_id"]) == ("149", boot_text(5))
    assert shown["time_us"] == str(START_US + 149 * 100_000 + 90_000)
    assert (float(shown["hr_bpm"]), shown["steps"]) == (61.0, "12")
    assert "battery_percent" in shown
    assert shown["window_start_us"] == str(START_US + 14_000_000)

    rows = rig.rows(
        "SELECT provisional, revision, count(*) AS n FROM telemetry.window_features GROUP BY 1, 2 ORDER BY 1"
    )
    assert rows == [(False, 2, 12), (True, 1, 3)]
    # The log is dated long ago: that the device has been silent since is said too.
    spikes = rig.rows("SELECT kind, peak_g, severity, revision FROM telemetry.anomalies WHERE kind <> 'silent_sensor'")
    assert [(kind, severity, revision) for kind, _, severity, revision in spikes] == [("spike", "info", 2)]
    assert spikes[0][1] == pytest.approx(6.05, rel=0.1)
    announced = [
        json.loads(p) for n in range(2) for f in whole_log(rig.kafka_url, ANOMALIES_TOPIC, n) for p in f.payloads
    ]
    assert [event["kind"] for event in announced if event["kind"] != "silent_sensor"] == ["spike"]
    letters = whole_log(rig.kafka_url, DEAD_LETTERS_TOPIC, 0)
    assert [payload for fetch in letters for payload in fetch.payloads] == [b"no message"]
    assert [fetch.headers[0]["reason"] for fetch in letters if len(fetch)] == [b"undecodable"]


def test_a_model_that_must_not_be_used_leaves_the_stream_running(rig: StreamRig) -> None:
    producer = Producer(rig.kafka_url, "test")
    missing = pb.ModelRelease(
        name="activity_anomaly", version="1", sha256="0" * 64, lake_path="models/none", feature_version="1"
    )
    producer.send(MODELS_TOPIC, b"activity", SigningKey(MODEL_SIGNING_KEY).sealed(missing).SerializeToString())
    producer.send(MODELS_TOPIC, b"not signed", missing.SerializeToString())
    producer.send(MODELS_TOPIC, b"activity", b"\xff\xff not a release")
    producer.flush(30)
    records = with_a_spike("watch-2", blocks=100)
    rig.send(records)
    rig.start()
    rig.wait_until(lambda: rig.positions_read() == len(records))
    assert rig.stop() == 0
    assert rig.log().count("model refused") == 3
    assert rig.log().count("bad_signature") == 1
    assert rig.rows("SELECT DISTINCT anomaly_score, model_version FROM telemetry.window_features") == [(None, None)]


def test_rows_name_the_versions_in_force_at_their_start_and_a_shadow_is_counted(rig: StreamRig) -> None:
    lake, log = open_lake(rig.extra["LAKE_URL"]), ReleaseLog(rig.kafka_url, MODEL_SIGNING_KEY)
    versions = []
    for seed, from_us, shadow in ((1, START_US, False), (2, START_US + 6_000_000, False), (3, 0, True)):
        candidate = train(draw_training_set(seed), ForestParams(n_trees=10))
        lake.put(candidate.lake_path, candidate.artifact)
        release = release_of(candidate, from_us)
        release.shadow = shadow
        log.publish(release)
        versions.append(release.version)
    data = write_table(DEVICE_THRESHOLDS, "t1", {"watch-3": (3.1, 20.0, 95.0)})
    lake.put("models/t1.json", data)
    digest = hashlib.sha256(data).hexdigest()
    log.publish(
        pb.ModelRelease(
            name=DEVICE_THRESHOLDS, version="t1", sha256=digest, lake_path="models/t1.json", feature_version="2"
        )
    )
    records = with_a_spike("watch-3")
    rig.send(records)
    rig.start()
    rig.wait_until(lambda: rig.rows("SELECT count(*) AS n FROM telemetry.window_features")[0][0] == 15)
    assert rig.stop() == 0
    rows = rig.rows(
        "SELECT model_version, count(*), count(anomaly_score) AS scored, min(extract(second FROM window_start))::int "
        "FROM telemetry.window_features GROUP BY 1 ORDER BY 4"
    )
    assert rows == [(versions[0], 6, 6, 0), (versions[1], 9, 9, 6)]
    assert rig.rows("SELECT model_version FROM telemetry.anomalies WHERE kind = 'spike'") == [("t1",)]
    counted = dict(rig.rows("SELECT version || ' ' || role, windows FROM ml.live_scores"))  # final rows alone
    assert counted == {f"{versions[0]} in_force": 6, f"{versions[1]} in_force": 6, f"{versions[2]} shadow": 12}


def harvest(device_id: str, *, provisional: bool, level_g: float = 1.0) -> Harvest:
    payloads = [messages.acceleration(device_id, i, level_g=level_g) for i in range(30)]
    rows = decode(ACCELERATION, payloads).rows
    made = samples_from_messages(pa.RecordBatch.from_arrays(rows.columns, rows.schema.names))
    windows, events = compute_windows(made.samples), spike_events(SampleTable.empty())
    derived = Derived(made.device_ids, windows, events, provisional, [])
    scored = ScoredRows(derived, np.full(len(windows), np.nan), [None] * len(windows))
    return Harvest(ACCELERATION.topic, 0, None, rows=[scored], ledger={"stored": [[0, 30]]})


def stored(client: SqlClient, device_id: str) -> set[tuple[float, int, str]]:
    rows = client.rows(
        "SELECT z_mean_g, revision, origin FROM telemetry.window_features WHERE device_id = %s", [device_id]
    )
    return {(round(row["z_mean_g"], 2), row["revision"], row["origin"]) for row in rows}


def write(client: SqlClient, item: Harvest) -> None:
    with client.transaction() as connection:
        write_history(connection, [item])


def test_a_final_row_replaces_a_provisional_one_and_never_the_other_way(sql_url: str) -> None:
    client = SqlClient(sql_url, "test", pool_size=1)
    write(client, harvest("stream-1", provisional=True, level_g=1.0))
    assert {revision for _, revision, _ in stored(client, "stream-1")} == {1}
    write(client, harvest("stream-1", provisional=False, level_g=2.0))
    write(client, harvest("stream-1", provisional=True, level_g=3.0))
    assert stored(client, "stream-1") == {(2.0, 2, "stream")}
    client.close()


def with_spike(made: Harvest, start_us: int | None, *, superseding: bool = False) -> Harvest:
    """The harvest with a spike, or none, and with its whole span withdrawn before."""
    scored = made.rows[0]
    device_id, starts = scored.derived.device_ids[0], scored.derived.windows.start_us
    span = [(device_id, int(starts.min()), int(starts.max()) + 1_000_000)] if superseding else []
    one = np.ones(0 if start_us is None else 1)
    events = EventRows(
        one.astype(np.int32) * 0, one.astype(np.int64) * (start_us or 0), 5 * one, 4 * one, one, one, one
    )
    return replace(made, rows=[replace(scored, derived=replace(scored.derived, events=events, superseded=span))])


@pytest.mark.parametrize("at_once", [True, False])
def test_a_provisional_spike_that_was_none_is_nowhere(sql_url: str, redis_url: str, at_once: bool) -> None:
    device_id = f"stream-spike-{at_once}"
    provisional, final = (harvest(device_id, provisional=one) for one in (True, False))
    start_us = int(provisional.rows[0].derived.windows.start_us[0])
    items = [with_spike(provisional, start_us), with_spike(final, None, superseding=True)]
    items += [with_spike(final, start_us + 1_000_000)]
    calls = [items] if at_once else [[item] for item in items]
    writes = history_writer(sql_url), latest_writer(redis_url, lambda: 0)
    for call in calls:
        for write_them in writes:
            write_them(call)
    client = SqlClient(sql_url, "test", pool_size=1)
    found = client.rows("SELECT started_at FROM telemetry.anomalies WHERE device_id = %s", [device_id])
    assert [to_us(row["started_at"]) for row in found] == [start_us + 1_000_000]
    recent = LatestReader(redis_url, "test").recent_anomalies(None, 1_000)
    mine = [(one["start_us"], one["provisional"]) for _, one in recent if one.get("device_id") == device_id]
    assert mine == [(start_us + 1_000_000, False)]
    client.close()


def test_the_stream_never_replaces_what_batch_wrote(sql_url: str) -> None:
    client = SqlClient(sql_url, "test", pool_size=1)
    write(client, harvest("stream-2", provisional=True))
    client.execute("UPDATE telemetry.window_features SET origin = 'batch', revision = 2 WHERE device_id = 'stream-2'")
    write(client, harvest("stream-2", provisional=False, level_g=9.0))
    assert stored(client, "stream-2") == {(1.0, 2, "batch")}
    client.close()


def test_positions_written_twice_are_counted_once(sql_url: str) -> None:
    client = SqlClient(sql_url, "test", pool_size=1)
    item = Harvest("ledger.twice", 3, None, ledger={"stored": [[0, 5], [7, 9]], "duplicate": [[5, 7]]})
    again = Harvest("ledger.twice", 3, None, ledger={"stored": [[7, 12]]})
    for one in (item, again, item):
        write(client, one)
    rows = client.rows(
        "SELECT outcome, positions::text FROM quality.ledger WHERE topic = 'ledger.twice' ORDER BY outcome"
    )
    assert [(row["outcome"], row["positions"]) for row in rows] == [
        ("duplicate", "{[5,7)}"),
        ("stored", "{[0,5),[7,12)}"),
    ]
    client.close()
