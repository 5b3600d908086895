"""The loop around models, live: a version in shadow is promoted by a person, seen in rows, taken back, seen again.

It goes on beside the rest of the demo, in a thread of its own: what is in force changes ten seconds ahead of now, and
those seconds are others' to use. What it did is judged by what SQL says afterwards, not by what it believes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from wearables_platform.clients.sql import SqlClient
from wearables_platform.demo import findings
from wearables_platform.demo.clients import ClientProcess
from wearables_platform.demo.lines import LoopSeen
from wearables_platform.errors import TerminalError, WearablesError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.spec import tethered
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.settings import Settings

DEADLINE_S: Final = 600.0  # of each step: on a busy machine the challenger is trained minutes after the first version
COMMAND_TIMEOUT_S: Final = 90.0
HAND_IN_S: Final = 90.0
POLL_S: Final = 0.5
ENOUGH_WINDOWS: Final = 12  # four seconds of three watches: what is seen is no single row

Command = Callable[[str, str, str], None]  # what to do, with which version, why


class ModelLoop:
    """The watches that are worn now, and the person who promotes and takes back."""

    def __init__(self, run: RunDirectory, settings: Settings, path: Callable[[str], Path]) -> None:
        self._run, self._settings = run, settings
        files = [str(path("now.spool")), str(path("now.json"))]
        self._watches = ClientProcess("now", "wearables_platform.demo.wearing", files, run.root.resolve())
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="model-loop")
        self._stopped = threading.Event()
        self._step = "begin"
        self._outcome: Future[None] | None = None
        self.failure: str | None = None

    def __enter__(self) -> ModelLoop:
        """Do nothing yet."""
        return self

    def __exit__(self, *_: Any) -> None:
        """End, wherever it is."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def start(self) -> ClientProcess:
        """Put the watches on and begin; returns their process, whose report is held against the archive."""
        self._watches.start()
        self._outcome = self._pool.submit(self._play)
        return self._watches

    def ended(self, say: Callable[[str], None]) -> bool:
        """Tell whether it has ended; says what it is at, and keeps what made it fail."""
        assert self._outcome is not None, "started before"
        say(self._step)
        if not self._outcome.done():
            return False
        try:
            self._outcome.result()
        except WearablesError as exc:
            self.failure = str(exc)
        return True

    def _play(self) -> None:
        with closing(SqlClient(self._settings.require("sql_url"), "wearables demo loop", pool_size=1)) as sql:
            try:
                play_loop(lambda: findings.model_loop(sql), self._command, self._await)
            finally:
                self._watches.finish(HAND_IN_S)

    def _command(self, what: str, version: str, because: str) -> None:
        """Do what a person would type."""
        words = ("models", what, ACTIVITY_ANOMALY, "--version", version, "--because", because)
        try:
            done = subprocess.run(
                tethered((sys.executable, "-m", "wearables_platform.cli", *words)),
                env={**os.environ, "WEARABLES_RUN_DIR": str(self._run.root.resolve())},
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            msg = f"wearables models {what} did not end within {COMMAND_TIMEOUT_S:.0f} s"
            raise TerminalError(msg) from exc
        (self._run.logs / f"demo-models-{what}.log").write_text(done.stdout + done.stderr)
        if done.returncode != 0:
            msg = f"wearables models {what} ended with {done.returncode}: {done.stderr.strip()[-400:]}"
            raise TerminalError(msg)

    def _await(self, what: str, reached: Callable[[], bool]) -> None:
        self._step = what
        deadline_s = time.monotonic() + DEADLINE_S
        while not reached():
            if self._stopped.wait(POLL_S):
                msg = "the demo was ended"
                raise TerminalError(msg)
            if time.monotonic() > deadline_s:
                msg = f"waited {DEADLINE_S:.0f} s in vain for {what}"
                raise TerminalError(msg)


def play_loop(look: Callable[[], LoopSeen], command: Command, wait: Callable[[str, Callable[[], bool]], None]) -> None:
    """Promote the version in shadow once it has scored beside the one in force, and take it back once rows carry it.

    `look` reads what SQL holds now; `wait` returns when its condition holds, or raises.
    """
    wait("the challenger's scores in shadow", lambda: _has_scored_in_shadow(look()))
    challenger = look().in_shadow
    assert challenger is not None, "it has scored in shadow"
    command("promote", challenger, "the demo has seen enough of its live scores")
    wait(f"rows scored by {challenger}", lambda: _last_turn_is(look(), 2))
    command("rollback", challenger, "the demo shows that one command takes a version back")
    wait("rows scored by the version before", lambda: _last_turn_is(look(), 3))


def _has_scored_in_shadow(seen: LoopSeen) -> bool:
    beside = seen.turns[:1] == seen.turns != []
    return beside and seen.shadow_windows.get(seen.in_shadow or "", 0) >= ENOUGH_WINDOWS


def _last_turn_is(seen: LoopSeen, number: int) -> bool:
    return len(seen.turns) == number and seen.turns[-1][1] >= ENOUGH_WINDOWS
