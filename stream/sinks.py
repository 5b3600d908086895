"""Where harvests go. Every sink returns only when its store has everything, and may be given the same harvest again.

Bytewax records a snapshot of an epoch after all sinks have returned for it, so a crash repeats at most an epoch's
writes. A store that is away is waited for; after that the job ends and its supervisor decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import prometheus_client
import tenacity
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from stream import rows, rule_rows
from stream.decode import STAGE
from stream.partition import Harvest
from wearables_platform.clients.kafka import Producer, QueueFull
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.sql import AppendedRows, Connection, SqlClient, load_queries, upsert_columns
from wearables_platform.clients.topics import dead_letter
from wearables_platform.domain.channels import ANOMALIES_TOPIC
from wearables_platform.errors import TransientError
from wearables_platform.logs import get_logger

# Longer than a store's restart, shorter than a person's patience; below Kafka's record retention by far.
STORE_PATIENCE_S: Final = 60.0
FLUSH_TIMEOUT_S: Final = 30.0

_QUERIES: Final[Any] = load_queries(Path(rows.__file__).parents[1] / "wearables_platform" / "sql" / "stream")
_log = get_logger(__name__)
_visible_after = prometheus_client.Histogram(
    "wearables_stream_visible_after_seconds",
    "From the newest record's append to its value in Redis.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60),
)

_stored_after = prometheus_client.Histogram(
    "wearables_stream_stored_after_seconds",
    "From the newest record's append to the commit of the rows it completed in SQL.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60),
)

_write_seconds = prometheus_client.Histogram(
    "wearables_stream_write_seconds",
    "Time a store takes for what one step gave it, retries included.",
    ["sink"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60),
)

Write = Callable[[list[Harvest]], None]
# Told that a store is away, so that health can say so; and asked whether to go on waiting.
Waiting = Callable[[str], None]


@dataclass(frozen=True)
class HarvestSink(DynamicSink[Harvest]):
    """A sink made of one function; `open_write` connects, in the worker that will use it."""

    open_write: Callable[[], Write]
    waiting: Waiting

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[Harvest]:
        """Connect, for one worker."""
        del worker_index, worker_count
        return _Writing(step_id, self.open_write(), self.waiting)


class _Writing(StatelessSinkPartition[Harvest]):
    """Writes at once, with bounded patience: nothing is kept across calls, because no snapshot would hold it."""

    def __init__(self, name: str, write: Write, waiting: Waiting) -> None:
        self._write = write
        self._name = name
        self._waiting = waiting

    def write_batch(self, items: list[Harvest]) -> None:
        """Write, or raise what kept it from being written."""
        with _write_seconds.labels(self._name.rpartition(".")[2]).time():
            self._write_patiently(items)

    def _write_patiently(self, items: list[Harvest]) -> None:
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            stop=tenacity.stop_after_delay(STORE_PATIENCE_S),
            before_sleep=self._say,
            reraise=True,
        ):
            with attempt:
                self._write(items)

    def _say(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        _log.warning("store unavailable, trying again", step=self._name, error=str(error))
        self._waiting(f"{self._name}: {error}")


class _RenewedProducer:
    """A producer that is replaced once something was not delivered: the retry sends all of it again.

    After a message has timed out an idempotent producer goes on only where the broker grants it a new epoch; not every
    broker does, and the old producer would fail for ever.
    """

    def __init__(self, kafka_url: str, client_id: str) -> None:
        self._open = partial(Producer, kafka_url, client_id, message_timeout_s=FLUSH_TIMEOUT_S)
        self._producer: Producer | None = None

    @contextmanager
    def delivering(self) -> Iterator[Producer]:
        """Lend the producer; at the end everything sent is delivered, or an error is raised."""
        producer, self._producer = self._producer or self._open(), None
        yield producer
        producer.flush(FLUSH_TIMEOUT_S + 1)
        self._producer = producer


def dead_letter_writer(kafka_url: str) -> Write:
    """Send what cannot be processed to the dead-letter topic; if that fails, the job stops."""
    renewed = _RenewedProducer(kafka_url, "stream-dead-letters")

    def write(items: list[Harvest]) -> None:
        letters = [(item, letter) for item in items for letter in item.dead_letters]
        if not letters:
            return
        with renewed.delivering() as producer:
            for item, letter in letters:
                _sending(
                    producer,
                    lambda item=item, letter=letter: dead_letter(  # type: ignore[misc]
                        producer,
                        source_topic=item.topic,
                        partition=item.partition,
                        offset=letter.offset,
                        consumer=rows.CONSUMER,
                        stage=STAGE,
                        reason=letter.reason,
                        detail=letter.detail,
                        payload=letter.payload,
                        source_log=item.topic_id,
                    ),
                )

    return write


def history_writer(sql_url: str, clock_us: Callable[[], int] | None = None) -> Write:
    """Write rows, events, gaps, dirty windows and the ledger, all of one call in one transaction.

    With a clock, how old they are by then is measured.
    """
    client = SqlClient(sql_url, "wearables stream", pool_size=1)
    months: set[tuple[str, str]] = set()
    appended = AppendedRows()

    def write(items: list[Harvest]) -> None:
        items = [item for item in items if item.has_history]
        if not items:
            return
        _ensure_months(client, items, months)
        with client.transaction() as connection:
            write_history(connection, items, appended)
        for item in items:
            if clock_us is not None and item.newest_append_us:
                _stored_after.observe(max(0, clock_us() - item.newest_append_us) / 1e6)

    return write


def write_history(connection: Connection, items: list[Harvest], appended: AppendedRows | None = None) -> None:
    """Write harvests inside the caller's transaction; with `appended` new rows are appended, not merged."""
    for some in _between_withdrawals(items):
        _write_rows(connection, some, appended)
    _write_evidence(connection, items)


def _between_withdrawals(items: list[Harvest]) -> Iterator[list[Harvest]]:
    """Cut harvests before each that may withdraw provisional events of those before it: these must be there by then."""
    begin, provisional = 0, False
    for i, item in enumerate(items):
        if provisional and any(made.derived.superseded for made in item.rows):
            yield items[begin:i]
            begin, provisional = i, False
        provisional |= any(made.derived.provisional and len(made.derived.events) for made in item.rows)
    yield items[begin:]


def _write_rows(connection: Connection, items: list[Harvest], appended: AppendedRows | None) -> None:
    """Write rows and events of harvests of which only the first may withdraw any."""
    made = [one for item in items for one in item.rows]
    spans = [span for one in made for span in one.derived.superseded]
    if spans:
        _QUERIES.withdraw_provisional_anomalies(connection, **rows.superseded_columns(spans))
    parts = [*(rows.window_rows(one) for one in made), *(rows.anomaly_rows(one) for one in made)]
    parts += [part for item in items if item.ruled is not None for part in rule_rows.rule_rows(item.ruled)]
    for table, columns, new in rows.by_table(parts):
        upsert_columns(connection, table, columns, appended=appended if new else None)


def _write_evidence(connection: Connection, items: list[Harvest]) -> None:
    """Write what is known of the log and of the rows: gaps, jumps of clocks, dirty windows, the ledger."""
    gaps = [gap for item in items for gap in item.gaps]
    steps = [step for item in items for step in item.clock_steps]
    late = [one for item in items for one in item.late]
    if gaps:
        _QUERIES.record_gaps(connection, **rows.gap_columns(gaps))
    if steps:
        _QUERIES.record_clock_steps(connection, **rows.clock_step_columns(steps))
    judged_again = rule_rows.late_minute_columns(items)
    if judged_again["starts"]:
        _QUERIES.mark_dirty_minutes(connection, **judged_again)
    if late or steps:
        _QUERIES.mark_dirty_windows(connection, **rows.dirty_columns(late, steps))
    ledger = rows.ledger_columns(items)
    if ledger["topics"]:
        _QUERIES.extend_ledger(connection, **ledger)


def latest_writer(redis_url: str, clock_us: Callable[[], int]) -> Write:
    """Write the newest values, recent events and counters; how old they are by then is measured."""
    client = LatestWriter(redis_url, "wearables-stream")

    def write(items: list[Harvest]) -> None:
        batches = [batch for item in items for batch in item.latest]
        batches += [batch for item in items if item.ruled for batch in rule_rows.latest_of_rules(item.ruled)]
        counters: dict[str, int] = {}
        for item in items:
            counters |= item.counters
        events, superseded = _recent(items)
        if batches or counters or events or superseded:
            client.write(batches, counters, events, superseded)
        for item in items:
            if item.newest_append_us:
                _visible_after.observe(max(0, clock_us() - item.newest_append_us) / 1e6)

    return write


def announcement_writer(kafka_url: str) -> Write:
    """Publish events as JSON on the anomalies topic, keyed by device.

    An event may come again: provisional, then final, or after a crash. It is told by device, kind and start, and the
    larger `revision` counts. One that was provisional and is not true after all just never becomes final: which ones
    were announced is nothing the stream keeps, and a withdrawal for each device that comes back would be mostly noise.
    """
    renewed = _RenewedProducer(kafka_url, "stream-anomalies")

    def write(items: list[Harvest]) -> None:
        events = _all_events(items)
        if not events:
            return
        with renewed.delivering() as producer:
            for event in events:
                value = json.dumps(event, sort_keys=True).encode()
                key = event["device_id"].encode()
                _sending(producer, lambda key=key, value=value: producer.send(ANOMALIES_TOPIC, key, value))  # type: ignore[misc]

    return write


def _sending(producer: Producer, send: Callable[[], object]) -> None:
    try:
        send()
    except QueueFull:
        producer.flush(FLUSH_TIMEOUT_S + 1)
        send()


def _recent(items: list[Harvest]) -> tuple[dict[str, dict[str, Any]], list[tuple[str, int, int]]]:
    """Return the events there are after all harvests, by key, and the spans whose provisional ones count no more."""
    events: dict[str, dict[str, Any]] = {}
    superseded: list[tuple[str, int, int]] = []
    for item in items:
        spans = [span for made in item.rows for span in made.derived.superseded]
        of_device = _joined(spans)
        events = {key: event for key, event in events.items() if not _is_withdrawn(event, of_device)}
        superseded += spans
        events |= {rows.anomaly_key(event): event for event in _all_events([item])}
    return events, superseded


def _joined(spans: list[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
    """Return one span per device: of several in one harvest each goes on where the one before ends."""
    found: dict[str, tuple[int, int]] = {}
    for device_id, from_us, to_us in spans:
        first_us, last_us = found.get(device_id, (from_us, to_us))
        found[device_id] = (min(first_us, from_us), max(last_us, to_us))
    return found


def _is_withdrawn(event: Mapping[str, Any], spans: Mapping[str, tuple[int, int]]) -> bool:
    if not event["provisional"] or "peak_g" not in event or event["device_id"] not in spans:
        return False
    from_us, to_us = spans[event["device_id"]]
    return bool(from_us <= event["start_us"] < to_us)


def _all_events(items: list[Harvest]) -> list[dict[str, Any]]:
    spikes = [event for item in items for made in item.rows for event in rows.anomaly_events(made)]
    return spikes + [event for item in items if item.ruled for event in rule_rows.rule_events(item.ruled)]


def _ensure_months(client: SqlClient, items: list[Harvest], known: set[tuple[str, str]]) -> None:
    """Make the monthly partitions exist before rows fall into the default one."""
    begins = [
        (table, start_us)
        for item in items
        for made in item.rows
        if len(made.derived.windows)  # a harvest may hold events of windows written before
        for start_us in (int(made.derived.windows.start_us.min()), int(made.derived.windows.start_us.max()))
        for table in (rows.WINDOWS.name, rows.ANOMALIES.name)
    ]
    begins += [begin for item in items if item.ruled for begin in rule_rows.begins_us(item.ruled)]
    wanted = {(table, f"{datetime.fromtimestamp(start_us / 1e6, UTC):%Y-%m-01}") for table, start_us in begins}
    for table, month in sorted(wanted - known):
        with client.transaction() as connection:
            # One worker at a time: another's new table must be seen before it is looked for.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('platform.ensure_partitions'))")
            list(_QUERIES.ensure_months(connection, qualified=table, first_day=month, last_day=month))
        known.add((table, month))
