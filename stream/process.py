"""The stream as a process: checks the log it is about to go on with, runs the dataflow, stops cleanly or loudly."""

from __future__ import annotations

import gc
import json
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from stream.cluster import Place, is_parent, run_processes
from stream.dataflow import Sinks, build_flow
from stream.imports import leave_pandas_out
from stream.journal import POINTER_FORMAT
from stream.models import LiveModels, ModelFollower
from stream.partition import PartitionRules
from stream.score_log import ScoreWriter
from stream.sinks import HarvestSink, announcement_writer, dead_letter_writer, history_writer, latest_writer
from stream.source import Control, LiveLog, LiveSource, wall_clock_us
from stream.standby import only_stream, prepare_to_work
from stream.watch import LogWatch
from wearables_platform.clients.kafka import Admin
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.domain.channels import CHANNELS
from wearables_platform.errors import LogPositionError, StoreRefused
from wearables_platform.health import Health, HealthServer, describe_build
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.models.archives import files_of
from wearables_platform.models.predict import load_scorer
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.thresholds import load_thresholds
from wearables_platform.sensor_catalogue import sensor_types
from wearables_platform.settings import Settings
from wearables_platform.wire.codec import require_fast_protobuf

NAME: Final = "stream"
RECOVERY_SHARDS: Final = 1  # fixed when the store is made; one worker process writes it
_INCARNATION: Final = "incarnation.json"
_SHARDS: Final = "part-*.sqlite3"

_log = get_logger(__name__)


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; any failure is raised, so that the process ends non-zero and is started again.

    Where another stream works in this run directory, wait to take over from it.
    """
    configure_logging(NAME, level=settings.log_level)
    require_fast_protobuf()
    leave_pandas_out()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if settings.stream_process_index is not None:  # one of several; who started it holds the lock
        _work(settings, stopping)
        return
    with only_stream(settings.run_dir, stopping, prepare_to_work) as lock:
        if lock is None:
            _log.info("stopped while waiting")
        elif is_parent(settings):
            open_recovery(settings.run_dir / "stream", open_log(settings))  # made once, before anyone looks for it
            run_processes(settings, stopping, lock)
        else:
            _work(settings, stopping)


def _work(settings: Settings, stopping: threading.Event) -> None:
    gc.freeze()  # what was imported stays: looking through it for garbage would be a pause of 0.2 s now and then
    health = Health(NAME)
    describe_build(NAME)
    with ExitStack() as opened:
        if settings.stream_health_port is not None and not settings.stream_process_index:
            opened.enter_context(HealthServer(health, settings.bind_host, settings.stream_health_port))
        stream_until(settings, stopping, health)
    _log.info("stopped")


def stream_until(settings: Settings, stopping: threading.Event, health: Health) -> None:
    """Connect, then run the dataflow until `stopping` is set."""
    log = open_log(settings)
    recovery = open_recovery(settings.run_dir / "stream", log)
    follower, models = _follow_models(settings)
    place = Place.of(settings)
    counts = ScoreWriter(
        settings.require("sql_url"), models.counted, models.delivered, (place.index, max(len(place.addresses), 1))
    )

    watch = LogWatch(Admin(settings.require("kafka_url"), f"{NAME}-watch"), log)

    def turn() -> None:
        models.raise_if_failed()
        watch.raise_if_failed()
        health.ready()

    follower.start()
    counts.start()
    try:
        source = LiveSource(log, rules_of(settings), models, Control(stopping, turn, wall_clock_us))
        flow = build_flow(source, open_sinks(settings, health.not_ready))
        _log.info("streaming", partitions=log.partitions, topics=list(log.topic_ids))
        with watch:
            run_flow(flow, place, timedelta(seconds=settings.stream_epoch_s), recovery)
    finally:
        follower.stop()
        counts.stop()


def run_flow(flow: Dataflow, place: Place, epoch: timedelta, recovery: RecoveryConfig | None) -> None:
    """Run the dataflow in this process's place, to its end."""
    cli_main(  # type: ignore[no-untyped-call]
        flow,
        workers_per_process=place.workers,
        process_id=place.index,
        addresses=list(place.addresses) or None,
        epoch_interval=epoch,
        recovery_config=recovery,
    )


def rules_of(settings: Settings) -> PartitionRules:
    """Return what partitions are run with."""
    return PartitionRules(
        hold_us=round(settings.reorder_hold_s * 1e6),
        idle_us=round(settings.idle_after_s * 1e6),
        max_payload_bytes=settings.max_payload_bytes,
        sensor_types=sensor_types(settings.sensor_types_dir),
    )


def open_log(settings: Settings) -> LiveLog:
    """Make sure the topics exist and say which log this is."""
    admin = Admin(settings.require("kafka_url"), NAME)
    ensure_platform_topics(admin, settings)
    ids = {channel.topic: admin.topic_id(channel.topic) for channel in CHANNELS}
    return LiveLog(settings.require("kafka_url"), ids, settings.topic_partitions, settings.run_dir / "stream" / "state")


def open_sinks(settings: Settings, waiting: Callable[[str], None]) -> Sinks:
    """Return the sinks; each connects when the dataflow starts."""
    kafka_url, sql_url = settings.require("kafka_url"), settings.require("sql_url")
    redis_url = settings.require("redis_url")
    return Sinks(
        dead_letters=HarvestSink(lambda: dead_letter_writer(kafka_url), waiting),
        history=HarvestSink(lambda: history_writer(sql_url, wall_clock_us), waiting),
        latest=HarvestSink(lambda: latest_writer(redis_url, wall_clock_us), waiting),
        announcements=HarvestSink(lambda: announcement_writer(kafka_url), waiting),
    )


def open_recovery(directory: Path, log: LiveLog) -> RecoveryConfig:
    """Return the recovery store of this log; a new one is made only where there is none at all.

    Raises
    ------
    LogPositionError
        The store belongs to another log, or is not whole: going on would skip or repeat without anyone knowing.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    incarnation = {
        "format": POINTER_FORMAT,
        "topics": log.topic_ids,
        "partitions": log.partitions,
        "shards": RECOVERY_SHARDS,
    }
    store = directory / "recovery"
    if not store.exists():
        _log.info("no recovery store: reading the log from its beginning", directory=str(directory))
        _make_store(store, incarnation)
    _require_same(store, incarnation)
    return RecoveryConfig(store)  # type: ignore[no-untyped-call]


def _make_store(store: Path, incarnation: dict[str, Any]) -> None:
    """Make an empty store beside its place and move it there whole, so that a crash leaves none or all of it."""
    new = store.with_suffix(".new")
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    init_db_dir(new, RECOVERY_SHARDS)  # type: ignore[no-untyped-call]
    (new / _INCARNATION).write_text(json.dumps(incarnation, sort_keys=True))
    new.rename(store)


def _require_same(store: Path, incarnation: dict[str, Any]) -> None:
    note, shards = store / _INCARNATION, len(list(store.glob(_SHARDS)))
    remedy = f"to rebuild from the log (nothing is lost that it still holds) remove {store}"
    if not note.exists() or shards != RECOVERY_SHARDS:
        msg = f"the recovery store in {store} is not whole ({shards} of {RECOVERY_SHARDS} shards); {remedy}"
        raise LogPositionError(msg)
    saved = json.loads(note.read_text())
    if saved.get("format", 1) != incarnation["format"]:
        msg = f"the recovery store in {store} was written by another version of the stream (format "
        msg += f"{saved.get('format', 1)}, this one writes {incarnation['format']}); {remedy}"
        raise LogPositionError(msg)
    if saved != incarnation:
        changed = [key for key in incarnation if saved.get(key) != incarnation[key]]
        msg = f"the recovery store in {store} belongs to another log ({', '.join(changed)} differ); {remedy}"
        raise LogPositionError(msg)


def _follow_models(settings: Settings) -> tuple[ModelFollower, LiveModels]:
    announcer = LatestWriter(settings.require("redis_url"), "wearables-stream-models")
    read = _lake_reader(settings)
    models = LiveModels(
        lambda release: load_scorer(release, read),
        announcer.set_model,
        lambda release: load_thresholds(release, read),
        key=SigningKey(settings.require("model_signing_key")),
        clock_us=wall_clock_us,
    )
    return ModelFollower(settings.require("kafka_url"), models), models


def _lake_reader(settings: Settings) -> Callable[[str], bytes]:
    if settings.lake_url is None:
        return _refuse_to_read
    from wearables_platform.clients.lake import configured_lake  # boto3 takes half a second to import

    return files_of(configured_lake(settings))


def _refuse_to_read(path: str) -> bytes:
    msg = f"no lake is configured (WEARABLES_LAKE_URL), {path} cannot be read"
    raise StoreRefused(msg)
