"""VUS-PR: the volume under the surface of precision, recall and buffer, for scores over time with known events.

Average precision asks of each window alone whether it was known; an alarm a second beside the event is then as wrong as
one an hour away. Here an event has a buffer on either side in which an alarm counts in part, an event nobody noticed
costs recall as a whole, and the area under the curve is averaged over buffers from none to `MAX_BUFFER_S`, so that no
one tolerance is chosen.

References
----------
Paparrizos et al. (2022), Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly Detection,
PVLDB 15(11), 2774-2787.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_BUFFER_S: Final = 10
"""Greatest buffer, both sides together: a movement of a second lies within five of what led to it."""


def vus_pr(is_event: Bools, scores: Floats, series: NDArray[np.int64], max_buffer: int = MAX_BUFFER_S) -> float | None:
    """Return the volume in [0, 1]; None where no event is known or all scores are equal.

    Parameters
    ----------
    is_event : (N,) bool
    scores : (N,) float64, high where unusual
    series : (N,) int64
        Rows in the order of time; a buffer does not reach from one series to another (another person, over a hole).
    max_buffer : int
        Greatest buffer, in windows.
    """
    if not is_event.any() or np.ptp(scores) == 0:
        return None
    areas = [range_pr_area(is_event, scores, series, buffer) for buffer in range(max_buffer + 1)]
    return float(np.mean(areas))


def range_pr_area(is_event: Bools, scores: Floats, series: NDArray[np.int64], buffer: int) -> float:
    """Return the area under range-based precision over range-based recall, at every distinct score as a threshold."""
    weight = buffered(is_event, series, buffer)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])  # the last row of each distinct score
    found = np.cumsum(weight[order])[ends]
    known = (is_event.sum() + weight.sum()) / 2.0
    recall = np.minimum(found / known, 1.0) * _share_noticed(weight, scores, series, scores[order][ends])
    precision = found / (ends + 1.0)
    recall, precision = np.r_[0.0, recall], np.r_[1.0, precision]
    return float((np.diff(recall) * (precision[1:] + precision[:-1]) / 2.0).sum())


def buffered(is_event: Bools, series: NDArray[np.int64], buffer: int) -> Floats:
    """Return (N,) weights: 1 in an event, falling as sqrt(1 - distance / buffer) over half the buffer beside it."""
    weight = is_event.astype(np.float64)
    if buffer <= 1:
        return weight
    whole = _runs(np.ones(len(series), dtype=np.bool_), series)
    begins = np.array([run.first for run in whole])
    for run in _runs(is_event, series):
        held = whole[int(np.searchsorted(begins, run.first, side="right")) - 1]
        after = np.arange(run.last, min(run.last + buffer // 2, held.last + 1))
        before = np.arange(max(run.first - buffer // 2, held.first), run.first)
        weight[after] += np.sqrt(1.0 - (after - run.last) / buffer)
        weight[before] += np.sqrt(1.0 - (run.first - before) / buffer)
    return np.minimum(weight, 1.0)


def _share_noticed(weight: Floats, scores: Floats, series: NDArray[np.int64], thresholds: Floats) -> Floats:
    """Return, per descending threshold, the share of events of which at least one row reaches it."""
    highest = np.sort([scores[run.first : run.last + 1].max() for run in _runs(weight > 0, series)])
    return 1.0 - np.searchsorted(highest, thresholds, side="left") / len(highest)


@dataclass(frozen=True)
class _Run:
    first: int
    last: int


def _runs(marked: Bools, series: NDArray[np.int64]) -> list[_Run]:
    """Return the runs of marked rows; a run ends with its series."""
    before = np.r_[False, marked[:-1] & (series[1:] == series[:-1])]
    begins = np.flatnonzero(marked & ~before)
    after = np.r_[before[1:] & marked[1:], False]
    ends = np.flatnonzero(marked & ~after)
    return [_Run(int(first), int(last)) for first, last in zip(begins, ends, strict=True)]
