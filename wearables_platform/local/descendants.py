"""Finding and ending every process below this one, whoever started it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

GONE_TIMEOUT_S = 10.0
POLL_S = 0.02


def parents() -> dict[int, int]:
    """Map every living process to its parent, from /proc; zombies are not living."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
            continue
        if fields[0] != "Z":
            found[int(entry.name)] = int(fields[1])
    return found


def descendants_of(ancestor: int) -> list[int]:
    """Return the living processes below one, parents before children."""
    parent_of = parents()
    below, frontier = [], [ancestor]
    while frontier:
        frontier = [pid for pid, parent in parent_of.items() if parent in frontier]
        below += frontier
    return below


def end_all_descendants() -> int:
    """Kill everything below this process until nothing is left; returns how many were found.

    Complete only in a process that adopts orphans: otherwise a grandchild whose parent ended is out of sight.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while (alive := descendants_of(os.getpid())) and time.monotonic() < deadline:
        for pid in alive:
            _kill(pid)
        ended.update(alive)
        reap()
        time.sleep(POLL_S)
    reap()
    return len(ended)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself


def reap_orphans(own_child: int) -> None:
    """Collect adopted children that have ended, and leave our own child to whoever waits for it."""
    try:
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == own_child:
                return
            os.waitpid(ended.si_pid, os.WNOHANG)
    except ChildProcessError:
        return  # no children left


def reap() -> None:
    """Collect adopted children that have ended, so that they do not stay zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return  # no children left
