"""Start a program that dies with its parent.

``python -I -S tether.py [--user UID:GID] [--signal N] [--remove FILE]... -- argv``

The kernel is asked to send a signal (SIGKILL) when the parent ends, however it ends, so that nothing outlives a
supervisor that was itself killed. The order matters: changing credentials clears the parent-death signal, exec keeps
it. Standard library only, run in isolated mode: it sits in front of every process and must cost no more than a few
milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

COMMAND_NOT_FOUND = 127  # what a shell answers


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent(signal_number: int, parent_pid: int) -> None:
    """Have the kernel signal this process when its parent ends; at once if that has happened already."""
    _prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal_number)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that all of them can be found and ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def drop_privileges(uid: int, gid: int) -> None:
    """Become an unprivileged user, for servers that refuse to run as root."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: Sequence[str]) -> None:
    """Replace this process with the program, tethered."""
    parent_pid = os.getppid()
    parser = argparse.ArgumentParser(prog="tether")
    parser.add_argument("--user")
    parser.add_argument("--signal", type=int, default=int(signal.SIGKILL))
    parser.add_argument("--remove", action="append", default=[], type=Path)
    parser.add_argument("argv", nargs="+")
    options = parser.parse_args(arguments)
    for stale in options.remove:
        stale.unlink(missing_ok=True)
    if options.user:
        uid, gid = (int(part) for part in options.user.split(":"))
        drop_privileges(uid, gid)
    die_with_parent(options.signal, parent_pid)
    try:
        os.execvp(options.argv[0], options.argv)
    except OSError as exc:
        sys.stderr.write(f"cannot run {options.argv[0]}: {exc.strerror}\n")
        sys.exit(COMMAND_NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:])
