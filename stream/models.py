"""The model in force: followed on its topic by a thread, loaded off the worker's path, exchanged in one assignment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import prometheus_client
from google.protobuf.message import DecodeError

from wearables_platform.clients.kafka import PartitionReader
from wearables_platform.domain.channels import MODELS_TOPIC
from wearables_platform.errors import ModelRefused, StoreRefused, StoreUnavailable, TransientError
from wearables_platform.logs import get_logger
from wearables_platform.models.predict import ModelTimeline, Scorer
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

Load = Callable[[ModelRelease], Scorer]
Announce = Callable[[str, dict[str, Any]], None]

_START_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.2
_refused = prometheus_client.Counter("wearables_stream_models_refused", "Model releases that were not taken.")
_log = get_logger(__name__)


class LiveModels:
    """Scores windows with the version in force at each window's start; a bad release changes nothing.

    There is one model for now; with several, the newest effective version of any wins. Thresholds of other detectors
    will come on the same topic as releases of their own name.
    """

    def __init__(self, load: Load, announce: Announce) -> None:
        self._load, self._announce = load, announce
        self._timeline = ModelTimeline()
        self.complete = threading.Event()  # the releases there were at the start have been taken, or it failed
        self.failure: Exception | None = None  # what ended the following

    def score(self, rows: WindowRows) -> tuple[npt.NDArray[np.float64], list[str | None]]:
        """Return a score per row and the version that made it; NaN and None where no model was in force.

        The first rows wait until the releases there are have been read: no window may miss its model. Newest values
        do not wait for that.
        """
        if not self.complete.wait(_START_TIMEOUT_S):
            msg = f"the end of {MODELS_TOPIC} was not reached within {_START_TIMEOUT_S:g} s"
            raise StoreUnavailable(msg)
        self.raise_if_failed()
        return self._timeline.score(rows)

    def raise_if_failed(self) -> None:
        """Raise what ended the following, if anything did."""
        if self.failure is not None:
            raise self.failure

    def take(self, payload: bytes, loaded_at_us: int) -> None:
        """Take one record of the models topic; a release that must not be used is logged, counted and left."""
        try:
            release = ModelRelease.FromString(payload)
            scorer = self._load(release)
        except (ModelRefused, StoreRefused, DecodeError) as exc:
            _refused.inc()
            _log.error("model refused, the last good one stays", reason=str(exc))
            return
        self._timeline = self._timeline.with_release(scorer)
        _log.info("model loaded", model=release.name, version=release.version)
        self._announce(
            release.name,
            {
                "version": release.version,
                "sha256": release.sha256,
                "effective_from_us": release.effective_from_us,
                "loaded_at_us": loaded_at_us,
            },
        )


class ModelFollower:
    """Reads the models topic from its beginning and goes on following it."""

    def __init__(self, kafka_url: str, models: LiveModels, clock_us: Callable[[], int]) -> None:
        self._reader = PartitionReader(kafka_url, MODELS_TOPIC, 0, group_id="stream-models")
        self._models, self._clock_us = models, clock_us
        self._stopping = threading.Event()
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
        try:
            fetch = self._reader.fetch(100, _POLL_S)
        except TransientError as exc:
            _log.warning("models topic unavailable", error=str(exc))
            return
        if fetch is None:
            return
        for payload in fetch.payloads:
            if payload:  # a tombstone withdraws a name; versions already in force stay, their windows were scored
                self._models.take(payload, self._clock_us())
        if fetch.at_end:
            self._models.complete.set()
