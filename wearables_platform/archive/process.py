"""The archive process: Kafka to MongoDB, offsets committed only after everything of a batch is durable."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Final

import prometheus_client
import tenacity

from wearables_platform.archive.documents import CONSUMER, Decode, Rejection, dead_letter_documents, sort_fetch
from wearables_platform.archive.sink import ArchiveSink
from wearables_platform.clients.kafka import Admin, Fetch, GroupReader, Producer, QueueFull
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.topics import dead_letter, ensure_platform_topics
from wearables_platform.domain.channels import CHANNEL_BY_TOPIC, CHANNELS, DEAD_LETTERS_TOPIC
from wearables_platform.errors import StoreUnavailable
from wearables_platform.health import Health, HealthServer, describe_build
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.settings import Settings
from wearables_platform.wire.codec import decode, require_fast_protobuf

GROUP: Final = "wearables-archive"
TOPICS: Final = (*(channel.topic for channel in CHANNELS), DEAD_LETTERS_TOPIC)
# One bulk per partition and batch: large enough that the store's cost per call vanishes, small enough that a batch of
# the largest messages stays within some hundred MB.
BATCH_MESSAGES: Final = 4_000
BATCH_WAIT_S: Final = 0.25
# A store's restart is waited for; after that the process ends and its supervisor decides. Below Kafka's limit of five
# minutes between polls, so that the group never takes the partitions away meanwhile.
STORE_PATIENCE_S: Final = 120.0
FLUSH_TIMEOUT_S: Final = 30.0
CHECK_INTERVAL_S: Final = 1.0

_log = get_logger(__name__)
_outcomes = prometheus_client.Counter(
    "wearables_archive_records", "Records by what became of them.", ["topic", "outcome"]
)
_durable_after = prometheus_client.Histogram(
    "wearables_archive_durable_after_seconds",
    "From the append of a batch's oldest record of a partition to its being durable here.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 3_600),
)
_batch_seconds = prometheus_client.Histogram("wearables_archive_batch_seconds", "Time to make one batch durable.")


@dataclass(frozen=True)
class Archive:
    """Reads, sorts, writes, gives up what cannot be written, and only then commits.

    Attributes
    ----------
    log_ids
        Topic -> its id in the broker.
    health, stop
        Told, and asked, while an unavailable store is waited for.
    """

    reader: GroupReader
    sink: ArchiveSink
    producer: Producer
    log_ids: Mapping[str, str | None]
    health: Health
    stop: threading.Event
    decoder: Decode = decode

    def step(self) -> int:
        """Archive one batch and return how many records it had; raises `StoreUnavailable` with nothing committed."""
        fetches = [fetch for fetch in self.reader.fetches(BATCH_MESSAGES, BATCH_WAIT_S) if len(fetch)]
        if fetches:
            self._retrying(partial(self._write, fetches))
            for fetch in fetches:
                _durable_after.observe(max(0.0, time.time() - fetch.append_us[0] / 1e6))
            self.reader.commit({(fetch.topic, fetch.partition): int(fetch.offsets[-1]) + 1 for fetch in fetches})
        return sum(map(len, fetches))

    def _retrying(self, write: Callable[[], None]) -> None:
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(StoreUnavailable),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5),
            stop=tenacity.stop_any(
                tenacity.stop_after_delay(STORE_PATIENCE_S), tenacity.stop_when_event_set(self.stop)
            ),
            sleep=tenacity.sleep_using_event(self.stop),
            before_sleep=self._say_retry,
            reraise=True,
        ):
            with attempt:
                write()

    def _write(self, fetches: list[Fetch]) -> None:
        with _batch_seconds.time():
            counts = {fetch.topic: Counter[str]() for fetch in fetches}
            for fetch in fetches:
                counts[fetch.topic] += self._write_one(fetch)
            # Dead letters are part of "everything is durable": without them the batch is not done.
            self.producer.flush(FLUSH_TIMEOUT_S)
        for topic, outcomes in counts.items():
            for outcome, count in outcomes.items():
                _outcomes.labels(topic, outcome).inc(count)

    def _write_one(self, fetch: Fetch) -> Counter[str]:
        log_id = self.log_ids[fetch.topic]
        if fetch.topic == DEAD_LETTERS_TOPIC:
            new = self.sink.write_dead_letters(dead_letter_documents(fetch, log_id))
            return Counter(stored=new, stored_before=len(fetch) - new)
        written = self.sink.write(sort_fetch(CHANNEL_BY_TOPIC[fetch.topic], fetch, log_id, self.decoder))
        for rejection in written.rejected:
            self._give_up(rejection, log_id)
        return written.counts

    def _give_up(self, rejection: Rejection, log_id: str | None) -> None:
        send = partial(
            dead_letter,
            self.producer,
            source_topic=rejection.topic,
            partition=rejection.partition,
            offset=rejection.offset,
            consumer=CONSUMER,
            stage=rejection.stage,
            reason=rejection.reason,
            detail=rejection.detail,
            payload=rejection.payload,
            source_log=log_id,
        )
        try:
            send()
        except QueueFull:
            self.producer.flush(FLUSH_TIMEOUT_S)
            send()

    def _say_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        self.health.not_ready(str(error))
        _log.warning("store unavailable, trying again", error=str(error), attempt=state.attempt_number)


def run(settings: Settings) -> None:
    """Archive until SIGTERM; any exception ends the process, and what was not committed is read again."""
    configure_logging("archive", level=settings.log_level)
    require_fast_protobuf()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    health = Health("archive")
    describe_build("archive")
    with ExitStack() as opened:
        if settings.archive_health_port is not None:
            opened.enter_context(HealthServer(health, settings.bind_host, settings.archive_health_port))
        archive_until(settings, stop, health)


def archive_until(settings: Settings, stop: threading.Event, health: Health) -> None:
    """Connect, then archive batch after batch until `stop` is set."""
    with ExitStack() as opened:
        archive, store = _connect(settings, opened, health, stop)
        checked_s = 0.0
        while not stop.is_set():
            health.beat()
            try:
                archive.step()
            except StoreUnavailable:
                if not stop.is_set():
                    raise
            if time.monotonic() - checked_s > CHECK_INTERVAL_S:
                checked_s = time.monotonic()
                _say_how_it_is(archive.reader, store, health)


def _connect(
    settings: Settings, opened: ExitStack, health: Health, stop: threading.Event
) -> tuple[Archive, DocumentStore]:
    kafka_url = settings.require("kafka_url")
    store = opened.enter_context(closing(DocumentStore(settings.require("mongo_url"), "wearables-archive")))
    sink = ArchiveSink(store, settings.archive_retention_days * 86_400)
    sink.prepare()
    admin = Admin(kafka_url, GROUP)
    ensure_platform_topics(admin, settings)
    log_ids = {topic: admin.topic_id(topic) for topic in TOPICS}
    producer = Producer(kafka_url, GROUP)
    # A member by this name that died is replaced at once instead of after the session's time-out.
    instance = f"archive-{settings.archive_instance or socket.gethostname()}"
    reader = opened.enter_context(closing(GroupReader(kafka_url, TOPICS, GROUP, instance_id=instance)))
    _log.info("archiving", topics=list(TOPICS), instance=instance)
    return Archive(reader, sink, producer, log_ids, health, stop), store


def _say_how_it_is(reader: GroupReader, store: DocumentStore, health: Health) -> None:
    trouble = reader.trouble
    try:
        store.ping()
    except StoreUnavailable as exc:
        trouble = str(exc)
    if trouble is None:
        health.ready()
    else:
        health.not_ready(trouble)
