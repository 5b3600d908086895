"""What the platform says it has: every store read into plain values, for the scorecard to judge."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.request import Request, urlopen

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.kafka import PartitionReader
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.demo.cast import WORN_NOW
from wearables_platform.demo.lines import Gap, LoopSeen, Spike
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.domain.identity import boot_text
from wearables_platform.wire.raw_messages import raw_dataset
from wearables_platform.wire.v1 import telemetry_pb2 as pb

ARCHIVE: Final = "archive"
STREAM: Final = "stream"
PAGE: Final = 10_000
FETCH_S: Final = 0.1  # the driver waits as long for more, also at the end
HTTP_TIMEOUT_S: Final = 30.0

Positions = dict[str, set[int]]
_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "demo")


def log_positions(kafka_url: str, partitions: int) -> Positions:
    """Read every telemetry topic to its end and return the offsets it holds."""
    places = [(channel.topic, partition) for channel in CHANNELS for partition in range(partitions)]
    # Reading is waiting: for a connection, and for the broker to say that this is the end.
    with ThreadPoolExecutor(len(places)) as pool:
        held = list(pool.map(lambda place: _offsets_held(kafka_url, *place), places))
    return {f"{topic}:{partition}": offsets for (topic, partition), offsets in zip(places, held, strict=True)}


def _offsets_held(kafka_url: str, topic: str, partition: int) -> set[int]:
    reader = PartitionReader(kafka_url, topic, partition)
    offsets: set[int] = set()
    at_end = False
    while not at_end:
        fetch = reader.fetch(PAGE, FETCH_S)
        if fetch is not None:
            offsets.update(fetch.offsets.tolist())
            at_end = fetch.at_end
    reader.close()
    return offsets


def count_archived(store: DocumentStore) -> int:
    """Return how many positions the archive has dealt with: a document each, by the store's own figure.

    To wait by: it is asked twice a second, beside the archive's own writing. `archive_outcomes` is what is judged.
    """
    collections = [*(channel.collection for channel in CHANNELS), "duplicates", "quarantine"]
    return sum(map(store.estimated_count, collections)) + store.count("dead_letters", {"consumer": ARCHIVE})


def count_streamed(sql: SqlClient) -> int:
    """Return how many positions the stream has dealt with, by its ledger."""
    return sum(len(held) for places in stream_outcomes(sql).values() for held in places.values())


def archive_outcomes(store: DocumentStore) -> dict[str, Positions]:
    """Return what became of every position the archive read, from its own collections."""
    fields = ("topic", "partition", "offset")
    outcomes: dict[str, Positions] = {}
    for outcome, collections in {
        "stored": [channel.collection for channel in CHANNELS],
        "duplicate": ["duplicates"],
        "quarantined": ["quarantine"],
    }.items():
        places: Positions = defaultdict(set)
        for collection in collections:
            for documents in store.stream_documents(collection, {}, fields, batch=PAGE):
                for document in documents:
                    places[f"{document['topic']}:{document['partition']}"].add(document["offset"])
        outcomes[outcome] = dict(places)
    outcomes["dead_lettered"] = dead_lettered_positions(store, ARCHIVE)
    return outcomes


def dead_lettered_positions(store: DocumentStore, consumer: str) -> Positions:
    """Return the positions a consumer gave up."""
    places: Positions = defaultdict(set)
    for documents in store.stream_documents(
        "dead_letters", {"consumer": consumer}, ("source_topic", "partition", "offset")
    ):
        for document in documents:
            places[f"{document['source_topic']}:{document['partition']}"].add(document["offset"])
    return dict(places)


def stream_outcomes(sql: SqlClient) -> dict[str, Positions]:
    """Return what became of every position the stream read, from its ledger."""
    outcomes: dict[str, Positions] = defaultdict(lambda: defaultdict(set))
    with sql.transaction() as connection:
        for topic, partition, outcome, first, end in _queries.list_ledger_ranges(connection, consumer=STREAM):
            outcomes[outcome][f"{topic}:{partition}"].update(range(first, end))
    return {outcome: dict(places) for outcome, places in outcomes.items()}


def stored_identities(store: DocumentStore) -> dict[str, Counter[str]]:
    """Return, per device, how often each identity is stored as a message (never more than once)."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for channel in CHANNELS:
        for documents in store.stream_documents(channel.collection, {}, ("device_id",), batch=PAGE):
            for document in documents:
                found[document["device_id"]][document["_id"]] += 1
    return dict(found)


def quarantined(store: DocumentStore) -> list[tuple[str, str, str]]:
    """Return (device, identity, reason) of every quarantined message, once."""
    fields = ("device_id", "identity", "reason")
    rows = {
        (document["device_id"], document["identity"], document["reason"])
        for documents in store.stream_documents("quarantine", {}, fields)
        for document in documents
    }
    return sorted(rows)


def dropped_duplicates(store: DocumentStore) -> Counter[str]:
    """Return how often each identity was dropped as a duplicate."""
    found: Counter[str] = Counter()
    for documents in store.stream_documents("duplicates", {}, ("identity",), batch=PAGE):
        found.update(document["identity"] for document in documents)
    return found


def dead_letters(store: DocumentStore) -> list[tuple[str, str]]:
    """Return (SHA-256 of the payload, reason) of every dead letter, once."""
    rows = {
        (hashlib.sha256(document["payload"]).hexdigest(), document["reason"])
        for documents in store.stream_documents("dead_letters", {}, ("payload", "reason"))
        for document in documents
    }
    return sorted(rows)


def spikes(sql: SqlClient, devices: list[str]) -> list[Spike]:
    """Return the published spike events of some devices."""
    with sql.transaction() as connection:
        return [Spike(*row) for row in _queries.list_spikes(connection, devices=devices)]


def gaps(sql: SqlClient, stored: Mapping[str, Counter[str]]) -> list[Gap]:
    """Return the gaps that were noticed and never filled: a late message closes the one it left."""
    with sql.transaction() as connection:
        noticed = [Gap(*row) for row in _queries.list_gaps(connection)]
    open_gaps = []
    for gap in noticed:
        there: Counter[str] = stored.get(gap.device_id, Counter())
        prefix = f"{gap.device_id}:{gap.boot}"
        missing = [n for n in range(gap.first, gap.last + 1) if not there[f"{prefix}:{n}"]]
        if missing:
            open_gaps.append(gap._replace(first=missing[0], last=missing[-1]))
    return open_gaps


def clock_steps(sql: SqlClient) -> list[tuple[str, str, int, int]]:
    """Return (device, boot, sequence, step in ms) of every clock step."""
    with sql.transaction() as connection:
        return [
            (device, boot, sequence, round(step_ms))
            for device, boot, sequence, step_ms in _queries.list_clock_steps(connection)
        ]


def steps_per_day(sql: SqlClient) -> dict[str, int]:
    """Return "participant|local day" to steps."""
    with sql.transaction() as connection:
        return {f"{person}|{day}": steps for person, day, steps in _queries.list_daily_steps(connection)}


def sensor_days(sql: SqlClient) -> dict[str, list[float]]:
    """Return "participant|sensor type|local day" to readings, least, greatest and mean."""
    with sql.transaction() as connection:
        rows = _queries.list_sensor_days(connection)
        return {f"{person}|{sensor}|{day}": figures for person, sensor, day, *figures in rows}


def rejected_readings(sql: SqlClient) -> dict[str, int]:
    """Return "quantity: rule" to how many readings the cleaning set aside."""
    with sql.transaction() as connection:
        return {f"{quantity}: {rule}": count for quantity, rule, count in _queries.count_rejected_readings(connection)}


def parity_runs(sql: SqlClient) -> list[dict[str, Any]]:
    """Return the newest parity figures of every day."""
    names = ("event_day", "clean_rows", "clean_equal", "dirty_rows", "dirty_equal_after", "unexplained", "detail")
    with sql.transaction() as connection:
        return [dict(zip(names, row, strict=True)) for row in _queries.list_parity(connection)]


def scored_windows(sql: SqlClient, version: str | None) -> int:
    """Return how many windows carry a score of this model version, as the stream wrote them."""
    with sql.transaction() as connection:
        return int(_queries.count_scored_windows(connection, version=version))


def count_windows(sql: SqlClient, devices: list[str]) -> int:
    """Return how many window rows some devices have."""
    with sql.transaction() as connection:
        return int(_queries.count_windows(connection, devices=devices))


def published_model(sql: SqlClient) -> tuple[str, str] | None:
    """Return name and version of the model published last."""
    with sql.transaction() as connection:
        row = _queries.find_published_model(connection)
    return (row[0], row[1]) if row else None


def model_loop(sql: SqlClient) -> LoopSeen:
    """Return what became of every version of the anomaly model, and which scored the watches that are worn now."""
    with sql.transaction() as connection:
        return LoopSeen(
            list(_queries.list_model_changes(connection)),
            dict(_queries.list_shadow_windows(connection)),
            list(_queries.list_scored_seconds(connection, devices=list(WORN_NOW))),
            list(_queries.list_model_instants(connection)),
        )


def live_model(latest: LatestReader, name: str) -> str | None:
    """Return the version of a model the stream says it scores with."""
    version = latest.live_models().get(name, {}).get("version")
    return None if version is None else str(version)


def latest_times(latest: LatestReader, devices: list[str]) -> dict[str, int]:
    """Return each device's newest sample time by Redis, microseconds."""
    return {
        device: int(values["time_us"])
        for device, values in zip(devices, latest.latest(devices), strict=True)
        if "time_us" in values
    }


def last_sample_times(lake: Lake, days: list[str]) -> dict[str, int]:
    """Return each device's last sample by event time in the raw Parquet files, microseconds."""
    newest: dict[str, int] = {}
    for table in _raw_acceleration(lake, days):
        period_us = 1e6 / table["rate_hz"].to_numpy()
        last_us = table["start_time_us"].to_numpy() + np.rint((_sample_counts(table) - 1) * period_us).astype(np.int64)
        for device, at_us in zip(table["device_id"].to_pylist(), last_us.tolist(), strict=True):
            newest[device] = max(newest.get(device, 0), at_us)
    return newest


def samples_per_boot(lake: Lake, days: list[str]) -> Counter[tuple[str, str]]:
    """Return how many samples the raw Parquet files hold per (device, boot)."""
    counts: Counter[tuple[str, str]] = Counter()
    for table in _raw_acceleration(lake, days):
        boots = map(boot_text, table["boot_id"].to_pylist())
        for device, boot, count in zip(table["device_id"].to_pylist(), boots, _sample_counts(table), strict=True):
            counts[device, boot] += int(count)
    return counts


def _raw_acceleration(lake: Lake, days: list[str]) -> Iterator[pa.Table]:
    tables = (lake.read_table(raw_dataset(ACCELERATION), [day]) for day in days)
    return (table for table in tables if table is not None)


def _sample_counts(table: pa.Table) -> npt.NDArray[np.int64]:
    is_float = table["encoding"].to_numpy() == pb.SAMPLE_ENCODING_FLOAT32_G
    lengths: npt.NDArray[np.int64] = pc.binary_length(table["samples"]).to_numpy().astype(np.int64)
    return lengths // np.where(is_float, 12, 6)


def glitches_per_message(lake: Lake, days: list[str], devices: list[str]) -> Counter[tuple[str, int]]:
    """Return how many glitches the edge reported per message of some devices."""
    counts: Counter[tuple[str, int]] = Counter()
    for table in _raw_acceleration(lake, days):
        for row in table.select(["message_id", "device_id", "glitches"]).to_pylist():
            if row["device_id"] in devices:
                counts[row["message_id"], 0] += sum(row["glitches"])
    return +counts


def client_counts(report: Path) -> dict[str, dict[str, int]]:
    """Return the counts a client process reported per device, reasons added up."""
    devices = json.loads(report.read_text())["devices"]
    return {device: {name: _total(value) for name, value in counts.items()} for device, counts in devices.items()}


def _total(value: int | Mapping[str, int]) -> int:
    return value if isinstance(value, int) else sum(value.values())


def published_age_groups(api_url: str, token: str) -> dict[str, tuple[float, int]]:
    """Ask the query API for heart rate by age group; hidden groups are not in the answer."""
    body = get_json(f"{api_url}/v1/cohorts/heart-rate?by=age_group", token)
    return {
        group["age_group"]: (group["heart_rate_mean_bpm"], group["n_people"])
        for group in body["groups"]
        if not group["hidden"]
    }


def get_json(url: str, token: str) -> Any:
    """Get a JSON document from the query API."""
    request = Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - our own API on loopback
    with urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:  # noqa: S310
        return json.load(answer)
