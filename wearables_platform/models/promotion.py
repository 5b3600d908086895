"""From shadow to in force and back: by what the live scores say, or by a person who says why.

What is in force changes at an instant a little ahead of now, so that every part of the stream knows before it comes,
and no window is scored by one version live and another in batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from wearables_platform.clients.lake import Lake
from wearables_platform.domain.time_policy import FUTURE_TOLERANCE_US
from wearables_platform.errors import ModelRefused
from wearables_platform.models.archives import files_of
from wearables_platform.models.live_scores import (
    LiveScores,
    Patience,
    read_live_scores,
    what_has_drifted,
    what_is_broken,
    worse_live,
)
from wearables_platform.models.predict import load_scorer
from wearables_platform.models.publishing import announce, known_people, lineage_refusals, store_card
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.models.registry import ModelRegistry, ModelVersion
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, load_thresholds
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

LEAD: Final = timedelta(seconds=10)
"""A release reaches every part of the stream within 5 s; twice that. Counted from when the registry is written, which
comes after all that is slow. Whether it was enough is in `analytics.model_deliveries_v1`."""

THRESHOLD_LEAD: Final = LEAD + timedelta(microseconds=FUTURE_TOLERANCE_US)
"""Thresholds decide which events there are, and an event that was not found names no version. So they take effect
beyond every window the stream can have seen, also of a clock that runs ahead as far as any may. There is no hurry:
whatever they say, they lie within safe limits."""

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Promotion:
    """What became of a shadow.

    `action`: promoted, refused, waiting (too little live traffic yet), or nothing (no version runs in shadow).
    """

    action: Literal["promoted", "refused", "waiting", "nothing"]
    row: ModelVersion | None = None
    why: str = ""
    live: LiveScores | None = None


def lead_of(name: str) -> timedelta:
    """Return how far ahead of now a change of what is in force takes effect."""
    return THRESHOLD_LEAD if name == DEVICE_THRESHOLDS else LEAD


def promote_when_ready(
    lake: Lake, registry: ModelRegistry, log: ReleaseLog, name: str, *, clock: Clock, patience: Patience
) -> Promotion:
    """Promote the version in shadow once live traffic says it may, refuse it where that says it must not."""
    shadow = registry.shadow(name)
    if shadow is None:
        announce(registry, log, name)  # a run may have died after the registry was written
        return Promotion("nothing")
    live = read_live_scores(registry.sql, name, shadow.version, "shadow")
    problems = [*_unfit(lake, registry, shadow), *_live_problems(registry, shadow, live, patience)]
    if problems:
        return _refuse(lake, registry, log, shadow, "; ".join(problems), live)
    waits = _waits_for(live, patience)
    if waits:
        return Promotion("waiting", shadow, waits, live)
    total = live.total
    why = f"{total.windows} live windows in shadow over {len(live.hours)} h, {total.alarm_rate:.2%} of them alarms"
    return _promote(lake, registry, log, shadow, clock, why, live)


def promote(
    lake: Lake,
    registry: ModelRegistry,
    log: ReleaseLog,
    name: str,
    *,
    clock: Clock,
    because: str,
    version: str | None = None,
) -> Promotion:
    """Promote the version in shadow on a person's word, without waiting for more live traffic.

    Raises `ModelRefused` where nothing, or another version, runs in shadow, or the file no longer passes the loader.
    """
    shadow = registry.shadow(name)
    if shadow is None or version not in (None, shadow.version):
        running = f"{shadow.version} does" if shadow else "none does"
        raise refused(Refusal.NOT_A_SHADOW, f"{version or 'a version'} of {name} does not run in shadow: {running}")
    problems = _unfit(lake, registry, shadow)
    if problems:
        raise ModelRefused("; ".join(problems))
    live = read_live_scores(registry.sql, name, shadow.version, "shadow")
    return _promote(lake, registry, log, shadow, clock, because, live)


def roll_back(
    lake: Lake,
    registry: ModelRegistry,
    log: ReleaseLog,
    name: str,
    *,
    clock: Clock,
    because: str,
    version: str,
) -> tuple[ModelVersion, ModelRelease]:
    """Take the version in force back and tell the stream; returns it, and the release that is in force from now on.

    Asking twice takes no second one back: that raises `ModelRefused`, and the stream is told all the same what the
    registry says, for the first time may have died before it did.
    """
    try:
        taken, release = registry.roll_back(name, lambda: clock() + lead_of(name), because, version)
    finally:
        announce(registry, log, name)
    if name != DEVICE_THRESHOLDS:
        store_card(lake, taken)
    return taken, release


def publish_thresholds(
    lake: Lake, registry: ModelRegistry, log: ReleaseLog, *, clock: Clock
) -> tuple[ModelVersion | None, str]:
    """Put the newest candidate of the device thresholds in force, or refuse it; returns its row, and what was done.

    Thresholds need no shadow run: none may leave its safe limits, whatever the data say.
    """
    candidates = registry.candidates(DEVICE_THRESHOLDS)
    if not candidates:
        announce(registry, log, DEVICE_THRESHOLDS)
        return registry.in_force(DEVICE_THRESHOLDS), "unchanged"
    for older in candidates[:-1]:
        registry.refuse(older, f"superseded: {candidates[-1].version} was computed after it", older.metrics)
    newest = candidates[-1]
    problems = _unfit(lake, registry, newest)
    if problems:
        return registry.refuse(newest, "; ".join(problems), newest.metrics), "refused"
    row = registry.put_in_force(
        newest, lambda: clock() + lead_of(DEVICE_THRESHOLDS), newest.metrics, "within the safe limits"
    )
    announce(registry, log, DEVICE_THRESHOLDS)
    return row, "in_force"


def broken_in_force(registry: ModelRegistry, name: str, patience: Patience) -> list[str]:
    """Return why the version in force must be rolled back, by its live scores; empty where it need not."""
    row = registry.in_force(name)
    if row is None or "live_reference" not in row.metrics:
        return []
    live = read_live_scores(registry.sql, name, row.version, "in_force")
    return what_is_broken(live, row.metrics["live_reference"], patience)


def drifted_in_force(registry: ModelRegistry, name: str, patience: Patience) -> list[str]:
    """Return what says that live scores have drifted from the card's, short of being broken: a reason to retrain."""
    row = registry.in_force(name)
    if row is None or "live_reference" not in row.metrics:
        return []
    live = read_live_scores(registry.sql, name, row.version, "in_force")
    # Named after the version, so that the same words of a later one are news.
    return [f"{row.version}: {said}" for said in what_has_drifted(live, row.metrics["live_reference"], patience)]


def is_ready(registry: ModelRegistry, shadow: ModelVersion, patience: Patience) -> bool:
    """Tell whether live traffic decides on a shadow by now, for it or against."""
    live = read_live_scores(registry.sql, shadow.name, shadow.version, "shadow")
    return not _waits_for(live, patience) or bool(_live_problems(registry, shadow, live, patience))


def _live_problems(registry: ModelRegistry, shadow: ModelVersion, live: LiveScores, patience: Patience) -> list[str]:
    problems = what_is_broken(live, shadow.metrics["live_reference"], patience)
    in_force = registry.in_force(shadow.name)
    if in_force is not None and not _waits_for(live, patience):
        theirs = read_live_scores(registry.sql, shadow.name, in_force.version, "in_force")
        problems += worse_live(live, theirs, float(shadow.metrics["params"]["alarm_rate"]))
    return problems


def _waits_for(live: LiveScores, patience: Patience) -> str:
    windows, hours = live.total.windows, len(live.hours)
    if windows >= patience.windows and hours >= patience.hours:
        return ""
    return f"{windows} of {patience.windows} live windows over {hours} of {patience.hours} h"


def _unfit(lake: Lake, registry: ModelRegistry, row: ModelVersion) -> list[str]:
    """Return why a version may not go in force whatever its scores are: its file, or people erased since."""
    try:
        if row.name == DEVICE_THRESHOLDS:
            load_thresholds(row.draft_release(), files_of(lake))
        else:
            load_scorer(row.draft_release(), files_of(lake))
    except ModelRefused as exc:
        return [str(exc)]
    return lineage_refusals(row, known_people(registry), ())


def _promote(
    lake: Lake,
    registry: ModelRegistry,
    log: ReleaseLog,
    shadow: ModelVersion,
    clock: Clock,
    why: str,
    live: LiveScores,
) -> Promotion:
    row = registry.put_in_force(shadow, lambda: clock() + LEAD, _with_live(shadow, live), why)
    announce(registry, log, row.name)
    store_card(lake, row)
    return Promotion("promoted", row, why, live)


def _refuse(
    lake: Lake, registry: ModelRegistry, log: ReleaseLog, shadow: ModelVersion, why: str, live: LiveScores
) -> Promotion:
    row = registry.refuse(shadow, why, _with_live(shadow, live))
    announce(registry, log, row.name)
    store_card(lake, row)
    return Promotion("refused", row, why, live)


def _with_live(shadow: ModelVersion, live: LiveScores) -> dict[str, Any]:
    total = live.total
    seen = {"windows": total.windows, "not_a_number": total.not_a_number, "alarm_rate": total.alarm_rate}
    return {**shadow.metrics, "shadow": {**seen, "hours": len(live.hours)}}
