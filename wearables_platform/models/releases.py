"""Releases: what the stream is told about a published model, on the compacted topic, newest last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from wearables_platform.clients.kafka import PartitionReader, Producer
from wearables_platform.domain.channels import MODELS_TOPIC
from wearables_platform.errors import StoreUnavailable
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

if TYPE_CHECKING:
    from wearables_platform.models.train import Candidate  # the log's readers need no scikit-learn

DELIVERY_TIMEOUT_S: Final = 30.0
READ_TIMEOUT_S: Final = 30.0


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
    """The topic `wearables.models.v1` on one Kafka."""

    def __init__(self, url: str, *, topic: str = MODELS_TOPIC) -> None:
        self._url = url
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
            return [ModelRelease.FromString(payload) for payload in _read_to_end(reader)]
        finally:
            reader.close()

    def publish(self, release: ModelRelease) -> None:
        """Append a release and wait until Kafka has it; raises what kept it from there."""
        producer = Producer(self._url, "model-releases", message_timeout_s=DELIVERY_TIMEOUT_S)
        producer.send(self._topic, record_key(release), release.SerializeToString(deterministic=True))
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
