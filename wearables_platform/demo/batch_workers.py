"""Dagster's side of the demo in a few processes: parts that do not wait for each other run at the same time.

Most of a part is one processor's work, here or in the database; a second part beside it takes what is left.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from wearables_platform.demo.phases import PHASES, Part
from wearables_platform.demo.timings import NOT_DONE, PartOutcome
from wearables_platform.local.spec import tethered

WORKERS: Final = 2
COMMAND: Final = (sys.executable, "-m", "wearables_platform.demo.batch")


class Worker:
    """A process that runs one part at a time; started again for the next part if it ended."""

    def __init__(self, environment: Mapping[str, str], log_file: Path, command: Sequence[str] = COMMAND) -> None:
        self._environment, self._log_file, self._command = environment, log_file, tuple(command)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it does not run; it is ready when it has imported Dagster."""
        if self._process is not None and self._process.poll() is None:
            return
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                tethered(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,  # Ctrl-C is the demo's to act on
            )

    def begin(self, phase: str, part: Part) -> None:
        """Ask for a part."""
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps([phase, part.title])}\n".encode())
        self._process.stdin.flush()

    def poll(self) -> PartOutcome | None:
        """Return what became of the part; None while it runs. Of a process that died, nothing became."""
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 0)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            return NOT_DONE
        return PartOutcome(**json.loads(line))

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()  # closes the pipes, too
            self._process = None


class BatchRun:
    """The parts of a phase on their way: each begins when a worker is free and what it comes after has ended."""

    def __init__(self, phase: str, workers: Iterable[Worker]) -> None:
        self._phase = phase
        self._waiting = list(PHASES[phase])
        self._idle = list(workers)
        self._running: dict[str, Worker] = {}
        self.outcomes: dict[str, PartOutcome] = {}

    @property
    def ended(self) -> bool:
        """Whether every part has ended, well or not."""
        return not self._waiting and not self._running

    @property
    def failed(self) -> list[str]:
        """Return the parts that ended without success."""
        return [title for title, outcome in self.outcomes.items() if not outcome.succeeded]

    def has_ended(self, title: str) -> bool:
        """Tell whether a part has ended, well or not."""
        return title in self.outcomes

    def advance(self, say: Callable[[str], None]) -> None:
        """Take note of what has ended, begin what may; never waits."""
        for title, worker in list(self._running.items()):
            if (outcome := worker.poll()) is not None:
                self.outcomes[title] = outcome
                self._idle.append(self._running.pop(title))
        for part in [part for part in self._waiting if self._may_begin(part)][: len(self._idle)]:
            self._waiting.remove(part)
            self._running[part.title] = self._idle.pop()
            self._running[part.title].begin(self._phase, part)
        say(", ".join(sorted(self._running)))

    def _may_begin(self, part: Part) -> bool:
        return all(title in self.outcomes for title in part.after)


def start_workers(run_dir: Path, dagster_home: Path, variables: Mapping[str, str], logs: Path) -> Sequence[Worker]:
    """Start the processes; they import what they need while the demo does something else."""
    environment = {
        **os.environ,
        "WEARABLES_RUN_DIR": str(run_dir.resolve()),
        "DAGSTER_HOME": str(dagster_home.resolve()),
        **variables,
    }
    workers = [Worker(environment, logs / f"demo-batch-{number}.log") for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    return workers
