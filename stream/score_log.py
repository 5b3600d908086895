"""How live scores are spread, counted beside the worker's rows and written off its path, where no reader of rows looks.

Counts are per run of the process and hour of event time, and rewritten as they grow: what a crash makes the stream
score again counts twice, which is nothing to a distribution, and no row carries a shadow's score.
"""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import wearables_platform
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

Key = tuple[str, str, str, int]  # name, version, role, hour
_queries: Final[Any] = load_queries(Path(wearables_platform.__file__).parent / "sql" / "models" / "models.sql")
_log = get_logger(__name__)


class ScoreLog:
    """Counts of what each version scored; workers add, one thread takes what has changed."""

    def __init__(self) -> None:
        self._counts: dict[Key, ScoreCounts] = {}
        self._changed: set[Key] = set()
        self._lock = threading.Lock()

    def count(self, role: str, scorer: Scorer, rows: WindowRows, scores: npt.NDArray[np.float64]) -> None:
        """Count the scores of final rows that should have one."""
        counts = scorable(rows) & ((rows["flags"].astype(np.int32) & int(QualityFlag.PROVISIONAL)) == 0)
        hours = rows.start_us // HOUR_US
        with self._lock:
            for hour in np.unique(hours[counts]).tolist():
                key = (scorer.release.name, scorer.version, role, int(hour))
                self._counts.setdefault(key, ScoreCounts()).add(
                    scores[counts & (hours == hour)], scorer.alarm_threshold
                )
                self._changed.add(key)

    def take_changed(self) -> dict[Key, ScoreCounts]:
        """Return copies of the counts that changed since they were last taken."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return {key: _copy(self._counts[key]) for key in changed}

    def give_back(self, keys: set[Key]) -> None:
        """Say that counts taken could not be written."""
        with self._lock:
            self._changed |= keys


def _copy(counts: ScoreCounts) -> ScoreCounts:
    return ScoreCounts(counts.windows, counts.not_a_number, counts.alarms, counts.bins.copy())


class ScoreWriter:
    """Writes the counts every two seconds while the stream runs, and once more at its end."""

    def __init__(self, sql_url: str, log: ScoreLog) -> None:
        self._sql = SqlClient(sql_url, "wearables stream scores", pool_size=1)
        self._log, self._writer = log, uuid.uuid4().hex
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
        changed = self._log.take_changed()
        if not changed:
            return
        try:
            with self._sql.transaction() as connection:
                _queries.write_live_scores(connection, writer=self._writer, **_columns(changed))
        except TransientError as exc:
            _log.warning("counts of live scores not written now", error=str(exc))
            self._log.give_back(set(changed))


def _columns(changed: dict[Key, ScoreCounts]) -> dict[str, list[Any]]:
    return {
        "names": [name for name, _, _, _ in changed],
        "versions": [version for _, version, _, _ in changed],
        "roles": [role for _, _, role, _ in changed],
        "hours": [from_us(hour * HOUR_US) for _, _, _, hour in changed],
        "windows": [one.windows for one in changed.values()],
        "not_a_number": [one.not_a_number for one in changed.values()],
        "alarms": [one.alarms for one in changed.values()],
        "bins": ["{" + ",".join(map(str, one.bins.tolist())) + "}" for one in changed.values()],
    }
