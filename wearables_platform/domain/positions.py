"""Conservation: what became of every position of a log, as sets that must be disjoint and complete. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

OUTCOMES: Final = ("stored", "duplicate", "quarantined", "dead_lettered")
Range = tuple[int, int]  # [first, end)
SHOWN_PLACES: Final = 5  # of each kind of fault
_ALL: Final[Range] = (-(2**63), 2**63)  # whatever a position may be


@dataclass(frozen=True)
class PartitionConservation:
    """One consumer's account of one partition.

    Attributes
    ----------
    counts
        Positions by outcome.
    overlapping
        Positions with more than one outcome; any is a fault.
    missing
        Positions without an outcome below the last one that has one; any is a fault.
    in_flight
        Positions after that: read later, if the consumer is alive.
    foreign
        Positions outside the log; any is a fault.
    places
        Where the first faults are: what is wrong, and the range (the end exclusive).
    """

    counts: Mapping[str, int]
    overlapping: int
    missing: int
    in_flight: int
    foreign: int
    places: tuple[tuple[str, Range], ...] = field(default=(), repr=False)

    @property
    def holds(self) -> bool:
        """Tell whether the outcomes are disjoint and cover everything up to the last position read."""
        return not (self.overlapping or self.missing or self.foreign)


def conserve(log: Range, outcomes: Mapping[str, Iterable[Range]]) -> PartitionConservation:
    """Compare what a consumer says with the positions a partition holds.

    >>> conserve((0, 10), {"stored": [(0, 4), (5, 8)], "duplicate": [(4, 5)]})
    PartitionConservation(counts={'stored': 7, 'duplicate': 1}, overlapping=0, missing=0, in_flight=2, foreign=0)
    >>> conserve((0, 10), {"stored": [(0, 4), (6, 12)], "duplicate": [(3, 4)]}).places
    (('overlapping', (3, 4)), ('missing', (4, 6)), ('foreign', (10, 12)))
    """
    merged = {outcome: merge(ranges) for outcome, ranges in outcomes.items()}
    together = merge(span for ranges in merged.values() for span in ranges)
    counts = {outcome: size(ranges) for outcome, ranges in merged.items()}
    covered = size(together)
    inside = size(clip(together, log))
    read_to = max((end for _, end in clip(together, log)), default=log[0])
    wrong = {
        "overlapping": [both for one, two in combinations(merged.values(), 2) for both in _common(one, two)],
        "missing": gaps(together, (log[0], read_to)),
        "foreign": [span for outside in gaps([log], _ALL) for span in clip(together, outside)],
    }
    return PartitionConservation(
        counts,
        overlapping=sum(counts.values()) - covered,
        missing=read_to - log[0] - inside,
        in_flight=log[1] - read_to,
        foreign=covered - inside,
        places=tuple((what, span) for what, spans in wrong.items() for span in sorted(spans)[:SHOWN_PLACES]),
    )


def _common(one: Iterable[Range], two: Sequence[Range]) -> Iterator[Range]:
    return (span for inside in one for span in clip(two, inside))


def gaps(ranges: Iterable[Range], inside: Range) -> list[Range]:
    """Return what of `inside` no range holds; ranges are in order and do not touch.

    >>> gaps([(0, 4), (6, 8)], (2, 10))
    [(4, 6), (8, 10)]
    """
    found, at = [], inside[0]
    for first, end in clip(ranges, inside):
        if first > at:
            found.append((at, first))
        at = end
    return [*found, (at, inside[1])] if at < inside[1] else found


def merge(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that touch or overlap.

    >>> merge([(5, 6), (0, 2), (1, 5)])
    [(0, 6)]
    """
    merged: list[Range] = []
    for first, end in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > first:
            merged.append((first, end))
    return merged


def clip(ranges: Iterable[Range], inside: Range) -> list[Range]:
    """Cut ranges to `inside`."""
    cut = ((max(first, inside[0]), min(end, inside[1])) for first, end in ranges)
    return [(first, end) for first, end in cut if end > first]


def size(ranges: Iterable[Range]) -> int:
    """Return how many positions ranges hold."""
    return sum(end - first for first, end in ranges)


def ranges_of(positions: Iterable[int]) -> list[Range]:
    """Turn positions into ranges.

    >>> ranges_of([3, 1, 2, 7])
    [(1, 4), (7, 8)]
    """
    return merge((position, position + 1) for position in positions)
