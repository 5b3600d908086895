"""Labels: what somebody says a person did, as text over a span of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORD: Final = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class LabelledSpan:
    """A label from `start_us` (inclusive) to `end_us` (exclusive), microseconds since the epoch, UTC."""

    label: str
    start_us: int
    end_us: int


def label_name(text: str) -> str:
    """Return a label as it is stored: lower case, words joined by underscores.

    Parameters
    ----------
    text
        As somebody wrote it; at least one letter, which comes first.

    Raises
    ------
    ValueError
        Nothing of it is a name.

    Examples
    --------
    >>> label_name("SITTING_DOWN"), label_name("Self Pace walk")
    ('sitting_down', 'self_pace_walk')
    """
    name = "_".join(_WORD.findall(text.lower()))
    if not _NAME.fullmatch(name):
        msg = f"label {text!r} is none: a letter, then at most 63 letters, digits or underscores"
        raise ValueError(msg)
    return name


def spans_of_labels(time_us: NDArray[np.int64], labels: Sequence[str], step_us: int) -> list[LabelledSpan]:
    """Join consecutive samples of one label into spans; an empty label is none.

    Parameters
    ----------
    time_us : (N,) int64
        Stamps, not decreasing.
    labels : N texts
        As stored, or empty.
    step_us
        Time from one sample to the next: a span lasts one step beyond its last sample, and is cut where more than
        ten steps lie between two.

    Examples
    --------
    >>> spans_of_labels(np.array([0, 10, 20, 30]), ["walk", "walk", "", "sit"], 10)
    [LabelledSpan(label='walk', start_us=0, end_us=20), LabelledSpan(label='sit', start_us=30, end_us=40)]
    """
    said = np.asarray(labels, dtype=np.str_)
    if not len(said):
        return []
    begins = np.flatnonzero(np.r_[True, (said[1:] != said[:-1]) | (np.diff(time_us) > 10 * step_us)])
    ends = np.r_[begins[1:], len(said)]
    return [
        LabelledSpan(str(said[first]), int(time_us[first]), int(time_us[last - 1]) + step_us)
        for first, last in zip(begins, ends, strict=True)
        if said[first]
    ]
