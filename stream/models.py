"""What is in force: followed on its topic by a thread, loaded off the worker's path, exchanged in one assignment.

Bytewax has no broadcast. Each process of the stream reads the whole topic itself, from its beginning and beside the
dataflow, and all its workers look at one object, which never changes: a release makes a new one, and whoever scores
next takes that. So a release needs no barrier and no message between workers; that all of them use it from the same
window on is the event time it carries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import prometheus_client
from google.protobuf.message import DecodeError

from stream.deliveries import Delivery, DeliveryLog
from stream.score_log import IN_FORCE, SHADOW, ScoreLog
from wearables_platform.clients.kafka import PartitionReader
from wearables_platform.domain.channels import MODELS_TOPIC
from wearables_platform.errors import ModelRefused, StoreRefused, TransientError
from wearables_platform.logs import get_logger
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.predict import ModelTimeline, Scorer, Unscored
from wearables_platform.models.releases import record_key
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, NO_THRESHOLDS, ThresholdTable, ThresholdTimeline
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

Load = Callable[[ModelRelease], Scorer]
LoadTable = Callable[[ModelRelease], ThresholdTable]
Announce = Callable[[str, dict[str, Any]], None]

_START_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.2
_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 30.0
_refused = prometheus_client.Counter("wearables_stream_models_refused", "Model releases that were not taken.")
_awaited = prometheus_client.Gauge("wearables_stream_models_awaited", "Releases whose artefacts cannot be had now.")
_log = get_logger(__name__)


class LiveModels:
    """Scores windows with the version in force at each window's start; a bad release changes nothing.

    Only a release signed with `key` is taken. One whose artefact cannot be had for now is asked for again by `retry`;
    until then the last good one scores.

    One model scores windows. Beside it another may run in shadow: its scores are counted and go nowhere else. The
    thresholds of devices come on the same topic, as releases of their own name; other names are others' affair.
    """

    def __init__(
        self,
        load: Load,
        announce: Announce,
        load_table: LoadTable | None = None,
        *,
        key: SigningKey,
        clock_us: Callable[[], int],
        patience_s: float = _START_TIMEOUT_S,
    ) -> None:
        self._load, self._announce, self._patience_s = load, announce, patience_s
        self._load_table = load_table or _no_tables
        self._key, self._clock_us = key, clock_us
        self._timeline = ModelTimeline()
        self._shadow: Scorer | None = None
        self._thresholds = NO_THRESHOLDS
        self.counted = ScoreLog()
        self.delivered = DeliveryLog()
        self._awaited: dict[bytes, ModelRelease] = {}  # by the topic's key, the one longest not asked for first
        self.complete = threading.Event()  # the releases there were at the start have been taken, or it failed
        self.failure: Exception | None = None  # what ended the following

    def score(self, rows: WindowRows) -> tuple[npt.NDArray[np.float64], list[str | None]]:
        """Return a score per row and the version that made it; NaN and None where no model was in force.

        The first rows wait until the releases there are have been read, so that no window misses its model; not for
        ever: newest values come first, and a topic that cannot be read for so long is said aloud.
        """
        if not self.complete.wait(self._patience_s):
            _log.error("the models topic was not read to its end, scoring with what is in force", topic=MODELS_TOPIC)
            self.complete.set()
        self.raise_if_failed()
        timeline, shadow = self._timeline, self._shadow
        scores, versions = timeline.score(rows)
        for scorer, chosen in timeline.parts(rows):
            if isinstance(scorer, Scorer):
                own = rows if len(chosen) == len(rows) else rows.take(chosen)
                self.counted.count(IN_FORCE, scorer, own, scores[chosen])
        if shadow is not None and len(rows):
            self.counted.count(SHADOW, shadow, rows, shadow.score(rows))
        return scores, versions

    @property
    def versions(self) -> list[str | None]:
        """The versions of the model by the event time they are in force from."""
        return [scorer.version for scorer in self._timeline.scorers]

    @property
    def thresholds(self) -> ThresholdTimeline:
        """The thresholds of devices there are now, by event time."""
        return self._thresholds

    def raise_if_failed(self) -> None:
        """Raise what ended the following, if anything did."""
        if self.failure is not None:
            raise self.failure

    @property
    def awaits(self) -> bool:
        """Whether there are releases whose artefacts could not be had."""
        return bool(self._awaited)

    def take(self, payload: bytes) -> None:
        """Take one record of the models topic; a release that must not be used is logged, counted and left.

        None waits behind another: what cannot be had now is kept aside, and forgotten once a release with its key
        comes, as the topic's compaction would have it.
        """
        try:
            release = self._key.opened(ModelRelease.FromString(payload))
        except (DecodeError, ModelRefused) as exc:
            _refuse(exc)
            return
        self._awaited.pop(record_key(release), None)
        if not self._settled(release):
            self._awaited[record_key(release)] = release
        _awaited.set(len(self._awaited))

    def retry(self) -> None:
        """Ask for what could not be had yet until one still cannot be; that one is asked for last the next time."""
        while self._awaited:
            key = next(iter(self._awaited))
            release = self._awaited.pop(key)
            if not self._settled(release):
                self._awaited[key] = release
                break
        _awaited.set(len(self._awaited))

    def _settled(self, release: ModelRelease) -> bool:
        """Put a release in force or refuse it; returns False where its artefact cannot be had now."""
        try:
            self._put(release)
        except (ModelRefused, StoreRefused) as exc:
            _refuse(exc)
            return True
        except TransientError as exc:
            _log.warning("model not to be had now, the last good one stays", version=release.version, error=str(exc))
            return False
        _log.info("release taken", model=release.name, version=release.version or None, shadow=release.shadow)
        self._note_delivery(release)
        if release in (self._timeline.last, self._thresholds.last):  # not one that comes after those that follow it
            self._announce_taken(release, self._clock_us())
        return True

    def _note_delivery(self, release: ModelRelease) -> None:
        if release.shadow or release.name not in (ACTIVITY_ANOMALY, DEVICE_THRESHOLDS):
            return
        loaded_at_us, effective_from_us = self._clock_us(), release.effective_from_us
        # The first of its name contradicts nothing: its instant is mostly one of the past.
        held = self._thresholds.tables if release.name == DEVICE_THRESHOLDS else self._timeline.scorers
        in_time = not self.complete.is_set() or len(held) < 2 or loaded_at_us < effective_from_us
        if not in_time:
            _log.warning("a release was there after it took effect", version=release.version or None)
        self.delivered.add(Delivery(release.name, release.version, effective_from_us, loaded_at_us, in_time))

    def _put(self, release: ModelRelease) -> None:
        if release.name == DEVICE_THRESHOLDS:
            self._thresholds = self._thresholds.with_release(self._load_table(release))
        elif release.name != ACTIVITY_ANOMALY:
            _log.info("a release of another model, nothing here scores with it", model=release.name)
        elif release.shadow:
            self._shadow = self._scorer(release) if release.version else None
        else:
            scorer = self._scorer(release) if release.version else Unscored(release)
            self._timeline = self._timeline.with_release(scorer)

    def _scorer(self, release: ModelRelease) -> Scorer:
        """Return what a release names; from memory where it is there: a promotion or rollback then needs no lake."""
        for known in (*self._timeline.scorers, self._shadow):
            if isinstance(known, Scorer) and known.is_of(release):
                return replace(known, release=release)
        return self._load(release)

    def _announce_taken(self, release: ModelRelease, loaded_at_us: int) -> None:
        try:
            self._announce(
                release.name,
                {
                    "version": release.version,
                    "sha256": release.sha256,
                    "effective_from_us": release.effective_from_us,
                    "loaded_at_us": loaded_at_us,
                },
            )
        except TransientError as exc:  # it is in force all the same; the next version says itself again
            _log.warning("model loaded, and nobody could be told", version=release.version, error=str(exc))


def _no_tables(release: ModelRelease) -> ThresholdTable:
    msg = f"nothing here reads tables of thresholds, {release.lake_path} is not read"
    raise StoreRefused(msg)


def _refuse(reason: Exception) -> None:
    _refused.inc()
    _log.error("model refused, the last good one stays", reason=str(reason))


class ModelFollower:
    """Reads the models topic from its beginning and goes on following it."""

    def __init__(self, kafka_url: str, models: LiveModels, topic: str = MODELS_TOPIC) -> None:
        self._reader = PartitionReader(kafka_url, topic, 0, group_id="stream-models")
        self._models = models
        self._stopping = threading.Event()
        self._pause_s, self._retry_at_s = _FIRST_RETRY_S, 0.0
        self._thread = threading.Thread(target=self._follow, name="models", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self._thread.join(timeout=10)
        self._reader.close()

    def _follow(self) -> None:
        try:
            while not self._stopping.is_set():
                self._step()
        except Exception as exc:  # noqa: BLE001 - handed to the worker, which raises it
            self._models.failure = exc
            self._models.complete.set()

    def _step(self) -> None:
        self._retry()
        try:
            fetch = self._reader.fetch(100, _POLL_S)
        except TransientError as exc:
            _log.warning("models topic unavailable", error=str(exc))
            return
        if fetch is None:
            return
        for payload in fetch.payloads:
            if payload:  # a tombstone withdraws a name; versions already in force stay, their windows were scored
                self._models.take(payload)
        if fetch.at_end:
            self._models.complete.set()

    def _retry(self) -> None:
        """Ask again for artefacts that could not be had, ever less often."""
        if not self._models.awaits:
            self._pause_s, self._retry_at_s = _FIRST_RETRY_S, 0.0
            return
        now_s = time.monotonic()
        if now_s < self._retry_at_s:
            return
        if self._retry_at_s:
            self._models.retry()
        self._retry_at_s, self._pause_s = time.monotonic() + self._pause_s, min(2 * self._pause_s, _LAST_RETRY_S)
