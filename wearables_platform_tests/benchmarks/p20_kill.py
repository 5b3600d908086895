"""P20: the stream is killed with SIGKILL while a fleet sends; how long until new values, and until it has caught up.

It is started again at once, as its supervisor does; for P20-standby a second stream waits beside it and takes over.
*First new output* is the first value in Redis that is newer than anything shown before the kill. *Caught up* is when
the stalest newest value is as fresh as half a second. The goal for the way from one to the other is the backlog, all
that was appended meanwhile, over 0.9 of the stream's highest rate, which laps over a log of as many devices give just
before.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from wearables_platform_tests.benchmarks.fleet_log import LogShape
from wearables_platform_tests.benchmarks.live import Platform, Probe, Run, live_platform, run_fleet
from wearables_platform_tests.benchmarks.runner import Figure, calibration, judged, tell
from wearables_platform_tests.benchmarks.stream_job import prepared_job, stream_lap
from wearables_platform_tests.benchmarks.stream_process import StreamProcess

DEVICES = 1_000
KILL_AT_S = 6.0
AFTER_S = 14.0
FRESH_S = 0.5
SHARE_OF_HIGHEST = 0.9
LAP_BLOCKS = 200


@dataclass
class Kill:
    """Kills the stream at a moment of a fleet's run and sees when it is back."""

    platform: Platform
    standby: StreamProcess | None = None
    killed_s: float | None = None
    first_s: float | None = None
    caught_up_s: float | None = None
    shown: int = field(default=0)

    def at_look(self, elapsed_s: float, probe: Probe) -> None:
        """Kill when it is time; afterwards look for what is new."""
        if self.killed_s is None:
            if elapsed_s >= KILL_AT_S:
                self._kill()
                probe.look()  # what it had written by then is not new
                self.killed_s, self.shown = elapsed_s, int(probe.newest.max())
        elif self.first_s is None:
            if probe.newest.max() > self.shown:
                self.first_s = elapsed_s - self.killed_s
        elif self.caught_up_s is None and (probe.lag_s() <= FRESH_S or probe.all_seen()):
            self.caught_up_s = elapsed_s - self.killed_s

    def _kill(self) -> None:
        self.platform.stream.kill()
        if self.standby is None:
            self.platform.stream.restart()
        else:
            self.platform.stream = self.standby  # it needs longer than the look that follows


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Kill once per round; the highest rate is measured before."""
    tell("P20, the highest rate", 0, rounds)
    with prepared_job(LogShape(DEVICES, LAP_BLOCKS)) as job:
        laps = [stream_lap(job) for _ in range(3)]
    highest = max(lap.rate for lap in laps)
    wrong = next((lap.wrong for lap in laps if lap.wrong), "")
    figures: list[Figure] = []
    for name in ("P20", "P20-standby"):
        with live_platform() as platform:
            kills, runs = [], []
            for done in range(rounds):
                tell(name, done, rounds)
                with _standby(platform, wanted=name != "P20", number=done) as standby:
                    kill = Kill(platform, standby)
                    long_s = KILL_AT_S + max(AFTER_S, seconds)
                    runs.append(run_fleet(platform, DEVICES, long_s, at_look=kill.at_look))
                kills.append(kill)
        lost = next((run.wrong for run in runs if run.wrong), wrong)
        figures += figures_of(name, kills, runs, highest, lost)
    return figures


@contextmanager
def _standby(platform: Platform, *, wanted: bool, number: int) -> Iterator[StreamProcess | None]:
    """Start a second stream that waits; it is the platform's own once it has taken over."""
    if not wanted:
        yield None
        return
    standby = StreamProcess(platform.settings, platform.directory / f"standby-{number}.log")
    try:
        standby.await_waiting()
        yield standby
    finally:
        if platform.stream is not standby:
            standby.stop()


def figures_of(name: str, kills: list[Kill], runs: list[Run], highest: float, wrong: str) -> list[Figure]:
    """Judge both times; a run ends when everything was seen, so that both are known."""
    first = [kill.first_s for kill in kills if kill.first_s is not None]
    caught = [kill.caught_up_s for kill in kills if kill.caught_up_s is not None]
    rate = runs[0].rate
    shares = [
        (end - begin) / (end * rate / (SHARE_OF_HIGHEST * highest)) for begin, end in zip(first, caught, strict=True)
    ]
    detail = f"{wrong}; " * bool(wrong) + ", ".join(
        (
            f"{DEVICES:,} devices, {rate:,.0f} messages/s throughout",
            f"after the kill first new output {statistics.median(first):.1f} s",
            f"caught up {statistics.median(caught):.1f} s",
            f"highest rate {highest:,.0f}/s",
            calibration(),
        )
    )
    common: dict[str, Any] = {"whole": not wrong, "at_most": True}
    return [
        judged(name, first, must=5.0, stretch=2.0, unit="s to new output", detail=detail, **common),
        judged(f"{name}-caught-up", shares, must=1.0, stretch=1.0, unit="of the time allowed", **common),
    ]
