"""The demo's Dagster parts: each is run once, after what it reads, beside what does not wait for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast

import pytest

from wearables_platform.demo.batch_workers import BatchRun, Worker
from wearables_platform.demo.phases import LEARN, MODEL, PHASES, PROVE, Part
from wearables_platform.demo.timings import NOT_DONE, PartOutcome

DONE = PartOutcome(succeeded=True, seconds=1.0, cpu_seconds=0.5)


class FakeWorker:
    """Ends a part when told to."""

    def __init__(self) -> None:
        self.part: str | None = None
        self.outcome: PartOutcome | None = None

    def begin(self, _: str, part: Part) -> None:
        assert self.part is None, "it runs one part at a time"
        self.part, self.outcome = part.title, None

    def end(self, outcome: PartOutcome = DONE) -> None:
        self.outcome, self.part = outcome, None

    def poll(self) -> PartOutcome | None:
        return self.outcome


def quiet(_: str) -> None:
    return None


def run_of(phase: str, count: int = 2) -> tuple[BatchRun, list[FakeWorker]]:
    workers = [FakeWorker() for _ in range(count)]
    return BatchRun(phase, cast("list[Worker]", workers)), workers


@pytest.mark.parametrize("phase", [LEARN, PROVE])
def test_every_part_runs_once_after_what_it_reads(phase: str) -> None:
    run, workers = run_of(phase)
    began: list[str] = []
    while not run.ended:
        run.advance(quiet)
        present = [worker.part for worker in workers if worker.part is not None]
        assert present, "something runs until all has ended"
        began += [title for title in present if title not in began]
        next(worker for worker in workers if worker.part is not None).end()
        ended = set(run.outcomes)
        assert all(set(part.after) <= ended for part in PHASES[phase] if part.title in present)
        run.advance(quiet)
    assert sorted(began) == sorted(part.title for part in PHASES[phase]) == sorted(run.outcomes)


def test_two_parts_run_side_by_side_as_soon_as_what_both_read_is_there() -> None:
    run, workers = run_of(LEARN)
    run.advance(quiet)
    assert sorted(str(worker.part) for worker in workers) == ["None", "archive to Parquet"]
    next(worker for worker in workers if worker.part).end()
    run.advance(quiet)
    assert sorted(str(worker.part) for worker in workers) == ["features", "heart rate and steps"]


def test_what_comes_after_a_failure_runs_all_the_same_and_the_failure_is_told() -> None:
    run, workers = run_of(LEARN, count=1)
    run.advance(quiet)
    workers[0].end(NOT_DONE)
    run.advance(quiet)
    assert run.failed == ["archive to Parquet"]
    assert workers[0].part == "features"
    assert not run.has_ended(MODEL)


def test_of_a_process_that_died_nothing_became_and_the_next_part_has_a_new_one(tmp_path: Path) -> None:
    program = """
import pathlib, sys
mark = pathlib.Path(sys.argv[1])
for line in sys.stdin:
    if not mark.exists():
        mark.touch()
        sys.exit(9)
    print('{"succeeded": true, "seconds": 1.0, "cpu_seconds": 0.5}', flush=True)
"""
    worker = Worker(os.environ, tmp_path / "log", (sys.executable, "-c", program, str(tmp_path / "mark")))
    try:
        assert [outcome_of(worker), outcome_of(worker)] == [NOT_DONE, DONE]
    finally:
        worker.stop()


def outcome_of(worker: Worker) -> PartOutcome:
    worker.begin(LEARN, PHASES[LEARN][0])
    while (outcome := worker.poll()) is None:
        pass
    return outcome
