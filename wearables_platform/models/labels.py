"""Labels: what was said of whom, in `ml.labels`, and which of it counts for a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.labels import LabelledSpan
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.windows import WINDOW_US

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "labels.sql")

NO_LABEL: Final = ""
Text = NDArray[np.str_]


@dataclass(frozen=True)
class Label:
    """A statement about a person, or about whoever wore a device: one of the two is None."""

    participant_id: str | None
    device_id: str | None
    label: str
    start_us: int
    end_us: int
    said_by: str


class LabelBook:
    """The table of labels of one database."""

    def __init__(self, sql: SqlClient) -> None:
        self._sql = sql

    def read(self) -> list[Label]:
        """Return every statement, the one said last at the end."""
        with self._sql.transaction() as connection:
            return [Label(*row) for row in _queries.list_labels(connection)]

    def add_spans(self, device_id: str, spans: Iterable[LabelledSpan], said_by: str) -> int:
        """Add what is said of a device's wearer; returns how many statements are new."""
        added = 0
        with self._sql.transaction() as connection:
            for span in spans:
                added += _queries.add_label(
                    connection,
                    participant_id=None,
                    device_id=device_id,
                    started_at=from_us(span.start_us),
                    ended_at=from_us(span.end_us),
                    label=span.label,
                    said_by=said_by,
                )
        return added


def label_windows(
    device_id: Text, person: Text, start_us: NDArray[np.int64], labels: Sequence[Label]
) -> tuple[Text, Text]:
    """Return the label of each window and who said so; empty where none covers half of it or more.

    Of labels that both do, the one said last counts: `labels` are in the order they were said.
    """
    widest = max((len(one.label) for one in labels), default=1)
    label = np.full(len(start_us), NO_LABEL, dtype=f"U{widest}")
    said_by = np.full(len(start_us), "", dtype=f"U{max((len(one.said_by) for one in labels), default=1)}")
    of_device, of_person = _by_subject(device_id, start_us), _by_subject(person, start_us)
    for one in labels:
        rows = of_device.get(one.device_id) if one.device_id is not None else of_person.get(one.participant_id or "")
        if rows is not None:
            chosen = rows[_covered(start_us[rows], one)]
            label[chosen], said_by[chosen] = one.label, one.said_by
    return label, said_by


def _by_subject(subject: Text, start_us: NDArray[np.int64]) -> dict[str, NDArray[np.intp]]:
    """Return each subject's rows in the order of time."""
    order = np.lexsort((start_us, subject))
    names, first = np.unique(subject[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, first[1:]), strict=True))


def _covered(start_us: NDArray[np.int64], label: Label) -> slice:
    """Return which windows, in order, the label covers half of or more: none where it is shorter than that."""
    half = WINDOW_US // 2
    first = np.searchsorted(start_us, label.start_us - half, side="left")
    last = np.searchsorted(start_us, label.end_us - half, side="right")
    return slice(int(first), int(last)) if label.end_us - label.start_us >= half else slice(0, 0)
