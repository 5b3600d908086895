"""The model registry: one signed row per version, in `ml.model_versions`, and what became of each, by whom and why.

A version goes candidate > shadow > in_force > retired; it may end as refused or rolled_back. The database holds the
rules: which state may follow which, one version in force and one in shadow per name, a history nobody rewrites.

A row's signature (HMAC-SHA256 over every column) is checked whenever it is read, so that whoever can write to the
database but does not hold the signing key can put no model in force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from wearables_platform.clients.sql import Connection, Json, SqlClient, load_queries
from wearables_platform.domain.time_policy import to_us
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.training_set import Wear
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

Instant = Callable[[], datetime]
State = Literal["candidate", "shadow", "in_force", "retired", "refused", "rolled_back"]

ONE_WINDOW: Final = timedelta(seconds=1)
EVER_IN_FORCE: Final = ("in_force", "retired", "rolled_back")
# Rows signed before there were shadow runs call it that; their signatures stay good.
_SIGNED_STATE: Final = {"in_force": "published"}
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

    def shadow_release(self) -> ModelRelease:
        """Return the record that lets the stream run this version in shadow."""
        release = self.draft_release()
        release.shadow = True
        return release


@dataclass(frozen=True)
class Return:
    """A rollback: from an event time on an earlier version is in force again; None: no version is."""

    name: str
    effective_from: datetime
    version: str | None
    rolled_back: str
    returned_at: datetime


@dataclass(frozen=True)
class Change:
    """A change of a version's state."""

    version: str
    from_state: State | None
    to_state: State
    changed_at: datetime
    changed_by: str
    because: str


class ModelRegistry:
    """The versions of every model, in one database; `actor` is who the history says changed what."""

    def __init__(self, sql: SqlClient, signing_key: str, actor: str = "models") -> None:
        self.sql = sql
        self._key = SigningKey(signing_key)
        self._actor = actor

    def add(self, version: ModelVersion, because: str = "trained") -> bool:
        """Add a version; returns False, and changes nothing, where it is there already."""
        row = {**asdict(version), "training_people": list(version.training_people), "metrics": Json(version.metrics)}
        with self.sql.transaction() as connection:
            added = bool(_queries.add_version(connection, **row, signature=self._key.sign(_canonical(version))))
            if added:
                self._record(connection, version, None, because)
        return added

    def versions(self, name: str) -> list[ModelVersion]:
        """Return every version of a model, oldest first; `ModelRefused` where a row's signature is wrong."""
        with self.sql.transaction() as connection:
            return self._held(connection, name)

    def find(self, name: str, version: str) -> ModelVersion | None:
        """Return one version, None where there is none."""
        return next((one for one in self.versions(name) if one.version == version), None)

    def in_force(self, name: str) -> ModelVersion | None:
        """Return the version in force for new windows, None where there is none."""
        return next((one for one in self.versions(name) if one.state == "in_force"), None)

    def shadow(self, name: str) -> ModelVersion | None:
        """Return the version that runs beside the one in force, None where there is none."""
        return next((one for one in self.versions(name) if one.state == "shadow"), None)

    def candidates(self, name: str) -> list[ModelVersion]:
        """Return the versions not yet decided on, oldest first."""
        return [one for one in self.versions(name) if one.state == "candidate"]

    def changes(self, name: str) -> list[Change]:
        """Return every change of state of every version of a model, in order."""
        with self.sql.transaction() as connection:
            return [Change(*row) for row in _queries.list_changes(connection, name=name)]

    def names(self) -> list[str]:
        """Return the names of all models there are versions of."""
        with self.sql.transaction() as connection:
            return [name for (name,) in _queries.list_names(connection)]

    def releases(self, name: str) -> list[ModelRelease]:
        """Return what was ever in force, by the event time it is in force from: what batch scores by.

        A version that a rollback put in force again is there twice; one without a version says that none is in force.
        """
        with self.sql.transaction() as connection:
            versions = {one.version: one for one in self._held(connection, name)}
            returns = self._returns(connection, name)
        found = [one.release for one in versions.values() if one.state in EVER_IN_FORCE]
        found += [return_release(one, versions.get(one.version or "")) for one in returns]
        return sorted(found, key=lambda release: release.effective_from_us)

    def enter_shadow(self, version: ModelVersion, metrics: Mapping[str, Any], because: str) -> ModelVersion:
        """Let a version run beside the one in force; another that does so is refused as superseded."""
        now = replace(version, state="shadow", metrics=metrics)
        with self.sql.transaction() as connection:
            for other in self._held(connection, version.name):
                if other.state == "shadow":
                    why = f"superseded: {version.version} runs in shadow in its place"
                    self._move(connection, other, replace(other, state="refused", refusal=why), why)
            self._move(connection, version, now, because)
        return now

    def put_in_force(
        self, version: ModelVersion, effective_from: Instant, metrics: Mapping[str, Any], because: str
    ) -> ModelVersion:
        """Put a version in force and retire the one before it, in one transaction.

        `effective_from` is asked once the rows are held, so that no waiting eats a lead. It takes effect after whatever
        did so last: what was scored by then stands.
        """
        with self.sql.transaction() as connection:
            held = self._held(connection, version.name)
            instant = max([effective_from(), *(one + ONE_WINDOW for one in self._instants(connection, held))])
            for other in held:
                if other.state == "in_force":
                    self._move(connection, other, replace(other, state="retired"), f"replaced by {version.version}")
            now = replace(version, state="in_force", effective_from=instant, metrics=metrics, refusal=None)
            self._move(connection, version, now, because)
        return now

    def refuse(self, version: ModelVersion, refusal: str, metrics: Mapping[str, Any]) -> ModelVersion:
        """Record that a version must not be used, and why."""
        now = replace(version, state="refused", refusal=refusal, metrics=metrics)
        with self.sql.transaction() as connection:
            self._move(connection, version, now, refusal)
        return now

    def roll_back(
        self, name: str, effective_from: Instant, because: str, version: str
    ) -> tuple[ModelVersion, ModelRelease]:
        """Take the version in force back; the one it replaced is in force again from an event time on.

        Returns the version taken back, and what is in force now. `ModelRefused` where none is in force, or another
        than `version`: whoever asks twice means one version, not two.
        """
        with self.sql.transaction() as connection:
            held = self._held(connection, name)
            current = next((one for one in held if one.state == "in_force"), None)
            if current is None:
                raise refused(Refusal.NOTHING_IN_FORCE, f"no version of {name} is in force: nothing can be rolled back")
            if version != current.version:
                raise refused(Refusal.DECIDED_MEANWHILE, f"{version} of {name} is not in force, {current.version} is")
            back = self._before(held, current)
            instant = max([effective_from(), *(one + ONE_WINDOW for one in self._instants(connection, held))])
            taken = replace(current, state="rolled_back", refusal=because)
            self._move(connection, current, taken, because)
            if back is not None:
                self._move(connection, back, replace(back, state="in_force"), f"{current.version} was rolled back")
            returned_at = datetime.now(UTC)
            made = Return(name, instant, back.version if back else None, current.version, returned_at)
            _queries.add_return(connection, **asdict(made), signature=self._key.sign(_canonical(made)))
        return taken, return_release(made, back)

    def wears(self) -> list[Wear]:
        """Return who wore which device when, as the registry of people knows it now."""
        with self.sql.transaction() as connection:
            return [Wear(*row) for row in _queries.list_wears(connection)]

    def _before(self, held: Sequence[ModelVersion], current: ModelVersion) -> ModelVersion | None:
        """Return the version that was in force last before the current one came for the first time."""
        retired = [one for one in held if one.state == "retired" and one.effective_from and current.effective_from]
        earlier = [one for one in retired if one.effective_from < current.effective_from]  # type: ignore[operator]
        return max(earlier, key=lambda one: one.effective_from, default=None)  # type: ignore[arg-type,return-value]

    def _instants(self, connection: Connection, held: Sequence[ModelVersion]) -> list[datetime]:
        """Return every event time at which what is in force changed."""
        firsts = [one.effective_from for one in held if one.effective_from is not None]
        return firsts + [
            one.effective_from for name in {v.name for v in held} for one in self._returns(connection, name)
        ]

    def _held(self, connection: Connection, name: str) -> list[ModelVersion]:
        rows = _queries.list_versions(connection, name=name)
        return [self._checked(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def _returns(self, connection: Connection, name: str) -> list[Return]:
        found = []
        for *values, signature in _queries.list_returns(connection, name=name):
            one = Return(*values)
            self._key.verify(_canonical(one), signature, f"the return from {one.name} {one.rolled_back}")
            found.append(one)
        return found

    def _move(self, connection: Connection, before: ModelVersion, now: ModelVersion, because: str) -> None:
        moved = _queries.set_state(
            connection,
            name=now.name,
            version=now.version,
            from_state=before.state,
            state=now.state,
            effective_from=now.effective_from,
            metrics=Json(now.metrics),
            refusal=now.refusal,
            signature=self._key.sign(_canonical(now)),
        )
        if not moved:  # the caller decided on what it read before
            raise refused(Refusal.DECIDED_MEANWHILE, f"{now.name} {now.version} is no longer in state {before.state}")
        self._record(connection, now, before.state, because)

    def _record(self, connection: Connection, now: ModelVersion, from_state: State | None, because: str) -> None:
        _queries.add_change(
            connection,
            name=now.name,
            version=now.version,
            from_state=from_state,
            to_state=now.state,
            changed_by=self._actor,
            because=because,
        )

    def _checked(self, row: Mapping[str, Any]) -> ModelVersion:
        fields = {name: value for name, value in row.items() if name != "signature"}
        version = ModelVersion(**{**fields, "training_people": tuple(fields["training_people"])})
        self._key.verify(_canonical(version), row["signature"], f"the registry row of {version.name} {version.version}")
        return version


def return_release(made: Return, version: ModelVersion | None) -> ModelRelease:
    """Return the record that tells the stream of a rollback."""
    instant_us = to_us(made.effective_from)
    if version is None:
        return ModelRelease(name=made.name, effective_from_us=instant_us)
    again = ModelRelease()
    again.CopyFrom(version.release)
    again.effective_from_us = instant_us
    return again


def _canonical(row: ModelVersion | Return) -> bytes:
    """Return the same bytes for the same row, wherever it comes from."""
    fields = {name: to_us(value) if isinstance(value, datetime) else value for name, value in asdict(row).items()}
    if isinstance(row, ModelVersion):
        fields["state"] = _SIGNED_STATE.get(row.state, row.state)
    # Through JSON once more: what the database gives back (lists for tuples) is what must be signed.
    return json.dumps(json.loads(json.dumps(fields)), sort_keys=True, allow_nan=False).encode()


def span_of(days: Sequence[str]) -> str:
    """Return days as the registry shows them: the first and the last, and how many.

    >>> span_of(["2026-03-01", "2026-03-02", "2026-03-07"])
    '2026-03-01..2026-03-07 (3 days)'
    """
    return f"{days[0]}..{days[-1]} ({len(days)} days)" if days else "none"
