"""How live scores are spread, counted beside the worker's rows and written off its path, where no reader of rows looks.

Counts are per run of the process and hour of event time, and rewritten as they grow: what a crash makes the stream
score again counts twice, which is nothing to a distribution, and no row carries a shadow's score.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import wearables_platform
from stream.deliveries import Delivery, DeliveryLog
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import TransientError
from wearables_platform.logs import get_logger
from wearables_platform.models.inputs import scorable
from wearables_platform.models.predict import Scorer
from wearables_platform.models.score_counts import ScoreCounts
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.windows import WindowRows

HOUR_US: Final = 3_600_000_000
WRITE_EVERY_S: Final = 2.0
IN_FORCE, SHADOW = "in_force", "shadow"

MOST_HOURS: Final = 1_000
"""Hours of versions held: half a megabyte. Two versions' last twenty days; a backlog read again passes through."""

Key = tuple[str, str, str, int]  # name, version, role, hour
PartKey = tuple[str, str, str, int, int]
_queries: Final[Any] = load_queries(Path(wearables_platform.__file__).parent / "sql" / "models" / "models.sql")
_log = get_logger(__name__)


class ScoreLog:
    """Counts of what each version scored; workers add, one thread takes what has changed.

    Of the hours written, those beyond `most` are forgotten, the ones not counted for longest first. One that is counted
    again begins anew as another part, which is written beside what was written before.
    """

    def __init__(self, most: int = MOST_HOURS) -> None:
        self._counts: dict[Key, ScoreCounts] = {}  # the one counted last at the end
        self._parts: dict[Key, int] = {}
        self._changed: set[Key] = set()
        self._most, self._part = most, 0
        self._lock = threading.Lock()

    def count(self, role: str, scorer: Scorer, rows: WindowRows, scores: npt.NDArray[np.float64]) -> None:
        """Count the scores of final rows that should have one."""
        counts = scorable(rows) & ((rows["flags"].astype(np.int32) & int(QualityFlag.PROVISIONAL)) == 0)
        hours = rows.start_us // HOUR_US
        with self._lock:
            for hour in np.unique(hours[counts]).tolist():
                key = (scorer.release.name, scorer.version, role, int(hour))
                self._parts.setdefault(key, self._part)
                found = self._counts.pop(key, None) or ScoreCounts()
                found.add(scores[counts & (hours == hour)], scorer.alarm_threshold)
                self._counts[key] = found
                self._changed.add(key)

    def take_changed(self) -> dict[PartKey, ScoreCounts]:
        """Return copies of the counts that changed since they were last taken, each with its part."""
        with self._lock:
            self._forget()
            changed, self._changed = self._changed, set()
            return {(*key, self._parts[key]): _copy(self._counts[key]) for key in changed}

    def give_back(self, keys: Iterable[PartKey]) -> None:
        """Say that counts taken could not be written; before anything is taken again."""
        with self._lock:
            self._changed |= {key[:4] for key in keys}

    def __len__(self) -> int:
        """Return how many hours of versions are held."""
        return len(self._counts)

    def _forget(self) -> None:
        """Forget what is not changed, and so was written, beyond what is held at most."""
        written = [key for key in self._counts if key not in self._changed]
        gone = written[: max(len(self._counts) - self._most, 0)]
        for key in gone:
            del self._counts[key], self._parts[key]
        self._part += bool(gone)


def _copy(counts: ScoreCounts) -> ScoreCounts:
    return ScoreCounts(counts.windows, counts.not_a_number, counts.alarms, counts.bins.copy())


class ScoreWriter:
    """Writes counts and deliveries every two seconds while the stream runs, and once more at its end.

    `process` says which of how many processes of the stream this one is.
    """

    def __init__(self, sql_url: str, log: ScoreLog, deliveries: DeliveryLog, process: tuple[int, int] = (0, 1)) -> None:
        self._sql = SqlClient(sql_url, "wearables stream scores", pool_size=1)
        self._log, self._writer = log, uuid.uuid4().hex
        self._deliveries, self._process = deliveries, process
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="score-log", daemon=True)

    def start(self) -> None:
        """Start writing."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._stopping.set()
        self._thread.join(timeout=10)
        self._sql.close()

    def _run(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_S):
            self.write()
        self.write()

    def write(self) -> None:
        """Write what has changed; what cannot be written now is written with the next."""
        changed, delivered = self._log.take_changed(), self._deliveries.take()
        try:
            with self._sql.transaction() as connection:
                if changed:
                    _queries.write_live_scores(connection, **_columns(changed, self._writer))
                for one in delivered:
                    _queries.write_delivery(connection, **self._row(one))
        except TransientError as exc:
            _log.warning("counts of live scores not written now", error=str(exc))
            self._log.give_back(changed)
            self._deliveries.give_back(delivered)

    def _row(self, one: Delivery) -> dict[str, Any]:
        number, processes = self._process
        return {
            "name": one.name,
            "version": one.version or None,
            "effective_from": from_us(one.effective_from_us),
            "process": number,
            "processes": processes,
            "loaded_at": from_us(one.loaded_at_us),
            "in_time": one.in_time,
        }


def _columns(changed: dict[PartKey, ScoreCounts], writer: str) -> dict[str, list[Any]]:
    return {
        "writers": [f"{writer}.{part}" for *_, part in changed],
        "names": [name for name, *_ in changed],
        "versions": [version for _, version, *_ in changed],
        "roles": [role for _, _, role, *_ in changed],
        "hours": [from_us(hour * HOUR_US) for _, _, _, hour, _ in changed],
        "windows": [one.windows for one in changed.values()],
        "not_a_number": [one.not_a_number for one in changed.values()],
        "alarms": [one.alarms for one in changed.values()],
        "bins": ["{" + ",".join(map(str, one.bins.tolist())) + "}" for one in changed.values()],
    }
