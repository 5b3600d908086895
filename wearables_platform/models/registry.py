"""The model registry: one signed row per version, in `ml.model_versions`.

A row's signature (HMAC-SHA256 over every column) is checked whenever it is read, so that whoever can write to the
database but does not hold the signing key can put no model in force.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from wearables_platform.clients.sql import Connection, Json, SqlClient, load_queries
from wearables_platform.domain.time_policy import to_us
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.training_set import Wear
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

State = Literal["candidate", "published", "refused", "retired"]
_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "models.sql")

_COLUMNS: Final = (  # in the order of list_versions
    "name",
    "version",
    "state",
    "sha256",
    "lake_path",
    "feature_version",
    "code_version",
    "trained_at",
    "effective_from",
    "training_days",
    "training_people",
    "metrics",
    "refusal",
    "signature",
)


@dataclass(frozen=True)
class ModelVersion:
    """A row of the registry; the instants are aware."""

    name: str
    version: str
    state: State
    sha256: str
    lake_path: str
    feature_version: str
    code_version: str
    trained_at: datetime
    training_days: str
    training_people: tuple[str, ...]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    effective_from: datetime | None = None
    refusal: str | None = None

    @property
    def release(self) -> ModelRelease:
        """The record that tells the stream of this version."""
        if self.effective_from is None:
            msg = f"{self.name} {self.version} was never put in force"
            raise ValueError(msg)
        return ModelRelease(
            name=self.name,
            version=self.version,
            sha256=self.sha256,
            lake_path=self.lake_path,
            effective_from_us=to_us(self.effective_from),
            feature_version=self.feature_version,
        )

    def draft_release(self) -> ModelRelease:
        """Return the release a candidate would have, for judging it."""
        return replace(self, effective_from=self.trained_at).release


class ModelRegistry:
    """The versions of every model, in one database."""

    def __init__(self, sql: SqlClient, signing_key: str) -> None:
        if not signing_key:
            msg = "the key that signs registry rows is empty"
            raise ValueError(msg)
        self._sql = sql
        self._key = signing_key.encode()

    def add(self, version: ModelVersion) -> bool:
        """Add a version; returns False, and changes nothing, where it is there already."""
        row = {**asdict(version), "training_people": list(version.training_people), "metrics": Json(version.metrics)}
        with self._sql.transaction() as connection:
            return bool(_queries.add_version(connection, **row, signature=self._sign(version)))

    def versions(self, name: str) -> list[ModelVersion]:
        """Return every version of a model, oldest first; `ModelRefused` where a row's signature is wrong."""
        with self._sql.transaction() as connection:
            return self._held(connection, name)

    def find(self, name: str, version: str) -> ModelVersion | None:
        """Return one version, None where there is none."""
        return next((one for one in self.versions(name) if one.version == version), None)

    def published(self, name: str) -> ModelVersion | None:
        """Return the version in force for new windows, None before the first."""
        return next((one for one in self.versions(name) if one.state == "published"), None)

    def candidates(self, name: str) -> list[ModelVersion]:
        """Return the versions not yet decided on, oldest first."""
        return [one for one in self.versions(name) if one.state == "candidate"]

    def releases(self, name: str) -> list[ModelRelease]:
        """Return every version that was ever in force, by the event time it is in force from: what batch scores by."""
        released = [one.release for one in self.versions(name) if one.state in ("published", "retired")]
        return sorted(released, key=lambda release: release.effective_from_us)

    def publish(self, version: ModelVersion, effective_from: datetime, metrics: Mapping[str, Any]) -> ModelVersion:
        """Put a version in force and retire the one before it, in one transaction."""
        now = replace(version, state="published", effective_from=effective_from, metrics=metrics, refusal=None)
        with self._sql.transaction() as connection:
            for other in self._held(connection, version.name):
                if other.state == "published" and other.version != version.version:
                    self._set(connection, replace(other, state="retired"))
            self._set(connection, now)
        return now

    def refuse(self, version: ModelVersion, refusal: str, metrics: Mapping[str, Any]) -> ModelVersion:
        """Record that a version must not be used, and why."""
        now = replace(version, state="refused", refusal=refusal, metrics=metrics)
        with self._sql.transaction() as connection:
            self._set(connection, now)
        return now

    def wears(self) -> list[Wear]:
        """Return who wore which device when, as the registry of people knows it now."""
        with self._sql.transaction() as connection:
            return [Wear(*row) for row in _queries.list_wears(connection)]

    def _held(self, connection: Connection, name: str) -> list[ModelVersion]:
        rows = _queries.list_versions(connection, name=name)
        return [self._checked(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def _set(self, connection: Connection, version: ModelVersion) -> None:
        _queries.set_state(
            connection,
            name=version.name,
            version=version.version,
            state=version.state,
            effective_from=version.effective_from,
            metrics=Json(version.metrics),
            refusal=version.refusal,
            signature=self._sign(version),
        )

    def _checked(self, row: Mapping[str, Any]) -> ModelVersion:
        fields = {name: value for name, value in row.items() if name != "signature"}
        version = ModelVersion(**{**fields, "training_people": tuple(fields["training_people"])})
        if not hmac.compare_digest(self._sign(version), row["signature"]):
            raise refused(Refusal.BAD_SIGNATURE, f"the registry row of {version.name} {version.version}")
        return version

    def _sign(self, version: ModelVersion) -> str:
        return hmac.new(self._key, _canonical(version), hashlib.sha256).hexdigest()


def _canonical(version: ModelVersion) -> bytes:
    """Return the same bytes for the same row, wherever it comes from."""
    fields = asdict(version)
    for name in ("trained_at", "effective_from"):
        fields[name] = None if fields[name] is None else to_us(fields[name])
    # Through JSON once more: what the database gives back (lists for tuples) is what must be signed.
    return json.dumps(json.loads(json.dumps(fields)), sort_keys=True, allow_nan=False).encode()


def span_of(days: Sequence[str]) -> str:
    """Return days as the registry shows them: the first and the last, and how many.

    >>> span_of(["2026-03-01", "2026-03-02", "2026-03-07"])
    '2026-03-01..2026-03-07 (3 days)'
    """
    return f"{days[0]}..{days[-1]} ({len(days)} days)" if days else "none"
