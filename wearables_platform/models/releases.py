"""Releases: what the stream is told about a published model, on the compacted topic, newest last."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from wearables_platform.clients.kafka import PartitionReader, Producer
from wearables_platform.domain.channels import MODELS_TOPIC
from wearables_platform.errors import ModelRefused, StoreUnavailable
from wearables_platform.logs import get_logger
from wearables_platform.models.signing import SigningKey
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

if TYPE_CHECKING:
    from wearables_platform.models.train import Candidate  # the log's readers need no scikit-learn

DELIVERY_TIMEOUT_S: Final = 30.0
READ_TIMEOUT_S: Final = 30.0
_log = get_logger(__name__)


def release_of(candidate: Candidate, effective_from_us: int) -> ModelRelease:
    """Return the record that puts a candidate in force from an event time on."""
    described = candidate.description
    return ModelRelease(
        name=described.name,
        version=described.version,
        sha256=candidate.sha256,
        lake_path=candidate.lake_path,
        effective_from_us=effective_from_us,
        feature_version=described.feature_version,
    )


class ReleaseLog:
    """The topic `wearables.models.v1` on one Kafka; what another key signed, or none, is not there."""

    def __init__(self, url: str, signing_key: str, *, topic: str = MODELS_TOPIC) -> None:
        self._url = url
        self._key = SigningKey(signing_key)
        self._topic = topic

    def latest(self, name: str, *, shadow: bool = False) -> ModelRelease | None:
        """Return the last release of a model, None where there is none; reads the topic from its beginning."""
        found = None
        for release in self.all():
            if (release.name, release.shadow) == (name, shadow):
                found = release
        return found

    def all(self) -> list[ModelRelease]:
        """Return every release the log still holds, in the order they were published."""
        reader = PartitionReader(self._url, self._topic, 0, group_id="model-releases")
        try:
            return [release for payload in _read_to_end(reader) for release in self._ours(payload)]
        finally:
            reader.close()

    def _ours(self, payload: bytes) -> Iterator[ModelRelease]:
        """Yield the release of a record; nothing where the stream would refuse it, so that `align` sends it again."""
        try:
            yield self._key.opened(ModelRelease.FromString(payload))
        except (DecodeError, ModelRefused) as exc:
            _log.warning("a record of the models topic is not ours", reason=str(exc))

    def publish(self, release: ModelRelease) -> None:
        """Append a release and wait until Kafka has it; raises what kept it from there."""
        producer = Producer(self._url, "model-releases", message_timeout_s=DELIVERY_TIMEOUT_S)
        producer.send(self._topic, record_key(release), self._key.sealed(release).SerializeToString(deterministic=True))
        producer.flush(DELIVERY_TIMEOUT_S + 1.0)

    def align(self, name: str, releases: Sequence[ModelRelease], shadow: ModelRelease | None) -> bool:
        """Publish what the log lacks of a model's releases, and what runs in shadow; returns whether anything was.

        Every instant the log does not hold is sent, in order, so that a stream reading it anew scores as batch does.
        """
        told = [one for one in self.all() if one.name == name]
        held = {(one.version, one.effective_from_us) for one in told if not one.shadow}
        missing = [one for one in releases if (one.version, one.effective_from_us) not in held]
        shadows = [one for one in told if one.shadow]
        wanted = shadow or ModelRelease(name=name, shadow=True)
        if (shadow or shadows) and shadows[-1:] != [wanted]:
            missing.append(wanted)
        for release in missing:
            self.publish(release)
        return bool(missing)


def record_key(release: ModelRelease) -> bytes:
    """Return the key of a release's record: what compaction keeps one of.

    >>> record_key(ModelRelease(name="m", version="1", effective_from_us=9))
    b'm/9'
    >>> record_key(ModelRelease(name="m", version="1", shadow=True))
    b'm/shadow'
    """
    return f"{release.name}/{'shadow' if release.shadow else release.effective_from_us}".encode()


def _read_to_end(reader: PartitionReader) -> list[bytes]:
    payloads: list[bytes] = []
    deadline = time.monotonic() + READ_TIMEOUT_S
    while time.monotonic() < deadline:
        fetch = reader.fetch(1_000, 0.2)
        if fetch is not None:
            payloads.extend(payload for payload in fetch.payloads if payload)
            if fetch.at_end:
                return payloads
    msg = f"the end of {reader.topic} was not reached within {READ_TIMEOUT_S:g} s"
    raise StoreUnavailable(msg)
