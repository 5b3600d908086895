"""The scorecard's rules: planted beside found, as pure functions. Each returns one `Line` and can fail.

Nothing here reads a store (see `findings.py`) or knows how the planted world was made.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

SPIKE_START_TOLERANCE_US = 50_000
SPIKE_PEAK_TOLERANCE = 0.10
GLITCH_RECALL = 0.99
GLITCH_PRECISION = 0.93
MEAN_TOLERANCE = 1e-6
SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Line:
    """One line of the scorecard."""

    name: str
    rule: str
    planted: Any
    found: Any
    ok: bool
    problems: Sequence[str] = field(default=())


class Spike(NamedTuple):
    """A movement spike: where, when it begins, how high."""

    device_id: str
    start_us: int
    peak_g: float


class Gap(NamedTuple):
    """Sequence numbers that never arrived."""

    device_id: str
    boot: str
    first: int
    last: int


class LoopSeen(NamedTuple):
    """What SQL holds of the loop around a model.

    Attributes
    ----------
    changes
        (version, state, because) in order.
    shadow_windows
        Version to live windows it scored in shadow.
    seconds
        (start in microseconds, version, windows) of the watches worn all the while, in order.
    instants
        (event time in microseconds, version) from which each is in force, in order.
    """

    changes: Sequence[tuple[str, str, str]]
    shadow_windows: Mapping[str, int]
    seconds: Sequence[tuple[int, str, int]]
    instants: Sequence[tuple[int, str | None]]

    @property
    def states(self) -> dict[str, list[str]]:
        """Version to the states it went through."""
        found: dict[str, list[str]] = {}
        for version, state, _ in self.changes:
            found.setdefault(version, []).append(state)
        return found

    @property
    def champion(self) -> str | None:
        """The first version in force."""
        return next((version for version, state, _ in self.changes if state == "in_force"), None)

    @property
    def in_shadow(self) -> str | None:
        """The version that runs in shadow now."""
        return next((version for version, states in self.states.items() if states[-1] == "shadow"), None)

    @property
    def taken_back(self) -> str | None:
        """The version that went all the way from shadow to in force and back."""
        way = ["candidate", "shadow", "in_force", "rolled_back"]
        return next((version for version, states in self.states.items() if states == way), None)

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """Versions the gate refused, and why."""
        return [(version, because) for version, state, because in self.changes if state == "refused"]

    @property
    def that_scored(self) -> set[str]:
        """Every version that scored a window, for a row or in shadow."""
        return {version for _, version, _ in self.seconds} | set(self.shadow_windows)

    @property
    def turns(self) -> list[tuple[str, int]]:
        """(version, windows), anew whenever the version changes."""
        runs = groupby(self.seconds, key=lambda second: second[1])
        return [(version, sum(windows for _, _, windows in run)) for version, run in runs]

    @property
    def misfits(self) -> list[tuple[int, str, str | None]]:
        """(start, version said, version due) of rows that another version should have scored."""
        starts = [from_us for from_us, _ in self.instants]
        due = {start_us: bisect_right(starts, start_us) - 1 for start_us, _, _ in self.seconds}
        found = [(us, said, self.instants[due[us]][1] if due[us] >= 0 else None) for us, said, _ in self.seconds]
        return [(us, said, version) for us, said, version in found if said != version]


def _line(name: str, rule: str, planted: Any, found: Any, problems: Iterable[str]) -> Line:
    listed = list(problems)
    shown = listed[:SHOWN_PROBLEMS]
    if len(listed) > len(shown):
        shown.append(f"... and {len(listed) - len(shown)} more")
    return Line(name, rule, planted, found, not listed, tuple(shown))


def spikes(planted: Collection[Spike], found: Collection[Spike]) -> Line:
    """Match each planted spike with one found spike, and each found spike with one planted."""
    unmatched = sorted(found)
    problems = []
    for spike in sorted(planted):
        match = next((event for event in unmatched if _same_spike(spike, event)), None)
        if match is None:
            problems.append(f"not found: {spike}, nearest {_nearest(spike, found)}")
        else:
            unmatched.remove(match)
    problems += [f"invented: {event}" for event in unmatched]
    return _line("spikes", "each found, start +-50 ms, peak +-10 %, none invented", len(planted), len(found), problems)


def _same_spike(planted: Spike, found: Spike) -> bool:
    return (
        planted.device_id == found.device_id
        and abs(planted.start_us - found.start_us) <= SPIKE_START_TOLERANCE_US
        and abs(planted.peak_g - found.peak_g) <= SPIKE_PEAK_TOLERANCE * planted.peak_g
    )


def _nearest(planted: Spike, found: Iterable[Spike]) -> Spike | None:
    same_device = [event for event in found if event.device_id == planted.device_id]
    return min(same_device, key=lambda event: abs(event.start_us - planted.start_us), default=None)


def glitches(planted: Counter[tuple[str, int]], found: Counter[tuple[str, int]]) -> Line:
    """Compare glitches per (device, 100 ms block)."""
    hits = (planted & found).total()
    recall = hits / max(planted.total(), 1)
    precision = hits / max(found.total(), 1)
    problems = []
    if planted.total() == 0:
        problems.append("none were planted: nothing is shown")
    if recall < GLITCH_RECALL:
        problems.append(f"recall {recall:.4f} < {GLITCH_RECALL}")
    if precision < GLITCH_PRECISION:
        problems.append(f"precision {precision:.4f} < {GLITCH_PRECISION}")
    shown = f"{found.total()} (recall {recall:.3f}, precision {precision:.3f})"
    return _line(
        "glitches", f"recall >= {GLITCH_RECALL}, precision >= {GLITCH_PRECISION}", planted.total(), shown, problems
    )


def same_mapping(name: str, rule: str, planted: Mapping[Any, Any], found: Mapping[Any, Any], *, unit: str = "") -> Line:
    """Demand that both mappings hold the same values under the same keys."""
    problems = [f"missing {key}: planted {planted[key]}" for key in planted.keys() - found.keys()]
    problems += [f"unplanted {key}: found {found[key]}" for key in found.keys() - planted.keys()]
    shared = planted.keys() & found.keys()
    problems += [f"{key}: planted {planted[key]}, found {found[key]}" for key in shared if planted[key] != found[key]]
    problems = sorted(problems) if planted else ["nothing was planted: nothing is shown", *sorted(problems)]
    suffix = f" {unit}" if unit else ""
    return _line(name, rule, f"{len(planted)}{suffix}", f"{len(found)}{suffix}", problems)


def same_set(name: str, rule: str, planted: Collection[Any], found: Collection[Any]) -> Line:
    """Demand that what was planted was found, and nothing else."""
    missing, extra = set(planted) - set(found), set(found) - set(planted)
    problems = [f"missing {item}" for item in sorted(missing, key=str)]
    problems += [f"unplanted {item}" for item in sorted(extra, key=str)]
    if not planted:
        problems.append("nothing was planted: nothing is shown")
    return _line(name, rule, len(set(planted)), len(set(found)), problems)


def heart_rate_by_age_group(
    planted: Mapping[str, tuple[float, int]], hidden: Collection[str], found: Mapping[str, tuple[float, int]]
) -> Line:
    """Compare published group means (bpm, people) with the planted; small groups must not appear.

    `planted` holds the groups to be published, `hidden` the names of the others: too small, or giving those away.
    """
    problems = [f"{group} is below the minimum size and was published" for group in sorted(set(hidden) & set(found))]
    problems += [f"missing group {group}" for group in sorted(planted.keys() - found.keys())]
    problems += [f"unplanted group {group}" for group in sorted(found.keys() - planted.keys() - set(hidden))]
    for group in sorted(planted.keys() & found.keys()):
        (mean, people), (seen_mean, seen_people) = planted[group], found[group]
        if not math.isclose(mean, seen_mean, rel_tol=MEAN_TOLERANCE) or people != seen_people:
            problems.append(f"{group}: planted {mean:.8f} bpm of {people}, found {seen_mean:.8f} bpm of {seen_people}")
    if not hidden:
        problems.append("no small group was planted: hiding is not shown")
    rule = "mean of per-person means equal to 1e-6, small bands hidden"
    return _line("heart_rate_by_age_group", rule, f"{len(planted)} + {len(hidden)} hidden", len(found), problems)


def duplicates(planted: Collection[str], dropped: Counter[str], stored_twice: Collection[str], resent: int) -> Line:
    """Demand that every planted duplicate was dropped; the clients' own resends are listed beside, not hidden."""
    problems = [f"not dropped: {identity}" for identity in sorted(set(planted)) if not dropped[identity]]
    problems += [f"stored twice: {identity}" for identity in sorted(stored_twice)]
    if not planted:
        problems.append("nothing was planted: nothing is shown")
    own = dropped.total() - sum(min(dropped[identity], 1) for identity in set(planted))
    found = f"{dropped.total() - own} (+ {own} resends of clients, {resent} sent)"
    return _line("duplicates", "every planted one dropped", len(set(planted)), found, problems)


def conservation(consumer: str, log: Mapping[str, set[int]], outcomes: Mapping[str, Mapping[str, set[int]]]) -> Line:
    """Demand that the positions in the log are exactly the disjoint union of what became of them.

    Parameters
    ----------
    log
        "topic:partition" to the offsets the log holds.
    outcomes
        Outcome (stored, duplicate, quarantined, dead_lettered) to "topic:partition" to offsets.
    """
    problems = []
    for place, offsets in sorted(log.items()):
        parts = {name: places.get(place, set()) for name, places in outcomes.items()}
        counted: Counter[int] = Counter(offset for part in parts.values() for offset in part)
        twice = sorted(offset for offset, times in counted.items() if times > 1)
        lost, invented = sorted(offsets - counted.keys()), sorted(counted.keys() - offsets)
        problems += [
            f"{place}: {what} {shown[:3]}{'...' if len(shown) > 3 else ''} ({len(shown)})"
            for what, shown in (("lost", lost), ("counted twice", twice), ("not in the log", invented))
            if shown
        ]
    unknown = {place for places in outcomes.values() for place, offsets in places.items() if offsets} - log.keys()
    problems += [f"{place} is not a partition of the log" for place in sorted(unknown)]
    total = sum(map(len, log.values()))
    if total == 0:
        problems.append("the log is empty: nothing is shown")
    sizes = {name: sum(map(len, places.values())) for name, places in outcomes.items()}
    found = " + ".join(f"{count} {name}" for name, count in sizes.items() if count) or "0"
    return _line(
        f"conservation:{consumer}",
        "log = stored + duplicate + quarantined + dead-lettered, disjoint",
        total,
        found,
        problems,
    )


def parity(runs: Sequence[Mapping[str, Any]], windows_planted: int) -> Line:
    """Demand that stream and batch agree on clean rows, and on dirty rows after the recompute."""
    total = {
        key: sum(run[key] for run in runs)
        for key in ("clean_rows", "clean_equal", "dirty_rows", "dirty_equal_after", "unexplained")
    }
    problems = [
        f"{run['event_day']}: {dict(run)}"
        for run in runs
        if run["clean_rows"] != run["clean_equal"]
        or run["dirty_rows"] != run["dirty_equal_after"]
        or run["unexplained"]
    ]
    if total["clean_rows"] == 0:
        problems.append("no clean row was compared")
    if total["dirty_rows"] == 0:
        problems.append("no dirty row was compared: the late block left no trace")
    if total["clean_rows"] + total["dirty_rows"] < windows_planted:
        problems.append(f"only {total['clean_rows'] + total['dirty_rows']} of {windows_planted} windows were compared")
    found = (
        f"{total['clean_equal']}/{total['clean_rows']} clean equal, "
        f"{total['dirty_equal_after']}/{total['dirty_rows']} dirty equal after recompute"
    )
    return _line(
        "parity", "clean rows equal, dirty rows equal after recompute", f"{windows_planted} windows", found, problems
    )


def receipts(clients: Mapping[str, Mapping[str, int]], accepted_in_archive: Mapping[str, int]) -> Line:
    """Demand that every client's spool is empty and both sides count the same accepted messages.

    `clients` maps a device to its counts: produced, accepted, refused, dropped, pending.
    """
    problems = []
    for device_id, counts in sorted(clients.items()):
        if counts["pending"]:
            problems.append(f"{device_id}: {counts['pending']} still in the spool")
        if counts["dropped"]:
            problems.append(f"{device_id}: {counts['dropped']} dropped by the client")
        if counts["produced"] != counts["accepted"] + counts["refused"] + counts["dropped"] + counts["pending"]:
            problems.append(f"{device_id}: the client's own counts do not add up: {dict(counts)}")
        archived = accepted_in_archive.get(device_id, 0)
        if counts["accepted"] != archived:
            problems.append(f"{device_id}: client counts {counts['accepted']} accepted, the archive {archived}")
    if not clients:
        problems.append("no client reported")
    planted = sum(counts["accepted"] for counts in clients.values())
    found = sum(accepted_in_archive.get(device_id, 0) for device_id in clients)
    return _line("receipts", "every spool empty, both sides count the same", planted, found, problems)


def model(published: str | None, live: str | None, scored_windows: int) -> Line:
    """Demand that the stream scores with the version that was published."""
    problems = []
    if published is None:
        problems.append("no version was published")
    elif live != published:
        problems.append(f"the stream has {live}")
    if scored_windows == 0:
        problems.append("no window of the stream carries a score")
    return _line(
        "model",
        "version live in the stream = version published",
        published,
        f"{live}, {scored_windows} windows scored",
        problems,
    )


def model_loop(seen: LoopSeen, failure: str | None = None) -> Line:
    """Demand that a worse version was refused, and one went through shadow to in force and was taken back again.

    What is in force is read from the rows: of watches worn all the while, each by the version the registry says.
    `failure` is what ended the loop before its end, the watches' last words included.
    """
    champion, challenger = seen.champion, seen.taken_back
    problems = [failure] if failure else []
    refusals = [because for version, because in seen.refusals if version != challenger]
    if not any("worse_" in because for because in refusals):
        problems.append(f"no version was refused for being worse: {refusals}")
    problems += [f"{version} was refused, and scored" for version, _ in seen.refusals if version in seen.that_scored]
    if champion is None or challenger is None:
        problems.append(f"no version went from shadow to in force and back: {seen.states}")
    elif not seen.shadow_windows.get(challenger):
        problems.append(f"{challenger} scored nothing in shadow")
    problems += [f"at {start_us} a row says {said}, the registry {due}" for start_us, said, due in seen.misfits]
    turns = [version for version, _ in seen.turns]
    if turns != [champion, challenger, champion]:
        problems.append(f"rows were scored by {turns}, not by {champion}, {challenger} and {champion} again")
    rows = " > ".join(str(windows) for _, windows in seen.turns)
    found = f"{len(refusals)} refused, {seen.shadow_windows.get(challenger or '', 0)} in shadow, rows {rows}"
    rule = "a worse one refused; shadow, promoted, rolled back, as the rows' versions say"
    return _line("model_loop", rule, "1 worse, 1 challenger", found, problems)


def batch(outcomes: Mapping[str, bool]) -> Line:
    """Demand that every Dagster run succeeded, its blocking checks included."""
    problems = [f"{title} did not succeed" for title, succeeded in outcomes.items() if not succeeded]
    if not outcomes:
        problems.append("nothing was run")
    done = sum(outcomes.values())
    return _line("batch", "every Dagster run and its blocking checks succeed", len(outcomes), done, problems)
