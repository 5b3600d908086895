"""What the stream counted of live scores, compared with what a model's card promises and with the version in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.models.gate import ALARM_RATE_MARGIN, MAX_ALARM_RATE
from wearables_platform.models.score_counts import Floats, ScoreCounts, psi

MAX_NOT_A_NUMBER: Final = 0.001
DRIFTED_PSI: Final = 0.25
MAX_PSI: Final = 0.5
"""Twice the 0.25 that is read as a large shift: other people and another season must not roll a model back."""

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "models.sql")


@dataclass(frozen=True)
class Patience:
    """How much live traffic says something; the distribution says nothing before it has seen day and night."""

    windows: int = 10_000
    hours: int = 24


@dataclass(frozen=True)
class LiveScores:
    """What a version scored live: per hour of event time."""

    hours: Mapping[datetime, ScoreCounts]

    @property
    def total(self) -> ScoreCounts:
        """All hours together."""
        total = ScoreCounts()
        for counts in self.hours.values():
            total.merge(counts)
        return total

    def within(self, hours: Sequence[datetime]) -> LiveScores:
        """Return what was scored in some hours."""
        return LiveScores({hour: counts for hour, counts in self.hours.items() if hour in set(hours)})

    def last(self, hours: int) -> LiveScores:
        """Return what was scored in the last hours that have any."""
        return self.within(sorted(self.hours)[-hours:])


def read_live_scores(sql: SqlClient, name: str, version: str, role: str) -> LiveScores:
    """Return what the stream has counted of a version in a role."""
    with sql.transaction() as connection:
        rows = list(_queries.list_live_scores(connection, name=name, version=version, role=role))
    hours = {
        hour: ScoreCounts(windows, not_a_number, alarms, np.array(bins, np.int64))
        for hour, windows, not_a_number, alarms, bins in rows
    }
    return LiveScores(hours)


def reference_of(scores: Floats, alarm_threshold: float) -> dict[str, Any]:
    """Return what a card promises of live scores: how those of the judged windows are spread."""
    counts = ScoreCounts()
    counts.add(scores, alarm_threshold)
    return {"bins": counts.bins.tolist(), "alarm_rate": counts.alarm_rate, "windows": counts.windows}


def what_is_broken(live: LiveScores, reference: Mapping[str, Any], patience: Patience) -> list[str]:
    """Return why a version's live scores cannot be right; empty where they can, or where there are too few."""
    recent = live.last(max(patience.hours, 1))
    total = recent.total
    if total.windows < patience.windows:
        return []
    found = []
    if total.not_a_number > MAX_NOT_A_NUMBER * total.windows:
        found.append(f"not_a_number: {total.not_a_number} of {total.windows} live scores")
    if total.alarm_rate > MAX_ALARM_RATE:
        found.append(f"live_alarm_rate: {total.alarm_rate:.1%} of live windows, {MAX_ALARM_RATE:.0%} allowed")
    if len(recent.hours) >= patience.hours:
        shift = psi(np.array(reference["bins"], np.int64), total.bins)
        if shift > MAX_PSI:
            found.append(f"live_distribution: PSI {shift:.2f} against the card's, {MAX_PSI:g} allowed")
    return found


def what_has_drifted(live: LiveScores, reference: Mapping[str, Any], patience: Patience) -> list[str]:
    """Return by how much live scores differ from the card's where that is a large shift."""
    recent = live.last(max(patience.hours, 1))
    if recent.total.windows < patience.windows or len(recent.hours) < patience.hours:
        return []
    shift = psi(np.array(reference["bins"], np.int64), recent.total.bins)
    return ["live scores have drifted from the card's"] if shift > DRIFTED_PSI else []


def worse_live(shadow: LiveScores, in_force: LiveScores, aim: float) -> list[str]:
    """Return in what a shadow does worse than the version in force over the hours that both scored."""
    both = sorted(set(shadow.hours) & set(in_force.hours))
    ours, theirs = shadow.within(both).total, in_force.within(both).total
    if not ours.windows or not theirs.windows:
        return []
    mine, other = abs(ours.alarm_rate - aim), abs(theirs.alarm_rate - aim)
    if mine > other + ALARM_RATE_MARGIN:
        return [f"worse_live_alarm_rate: {ours.alarm_rate:.2%} live, the version in force {theirs.alarm_rate:.2%}"]
    return []
