"""How a start can fail, and the exit code of each way: what a script may rely on."""

from __future__ import annotations

from enum import IntEnum

from wearables_platform.errors import TerminalError


class ExitCode(IntEnum):
    """Exit codes of every ``wearables`` command."""

    OK = 0
    FAILED = 1  # what was asked ran, and its answer is no (a red scorecard, a check that found something)
    USAGE = 2  # the command line is wrong (Typer's own code)
    CONFIG = 3  # a setting is missing, misspelt or contradictory
    PORT_IN_USE = 4
    DISK = 5  # full, or the run directory cannot be written
    MISSING_SERVER = 6  # neither a URL, nor a binary on PATH, nor a wheel
    UNHEALTHY = 7  # a server or process did not become healthy in time
    KAFKA_DIED = 8  # the in-memory Kafka ended: the log is gone, so everything else was stopped
    ALREADY_RUNNING = 9
    NOT_RUNNING = 10
    STORE_UNAVAILABLE = 11  # a store did not answer; trying again may help


class StartError(TerminalError):
    """Something keeps the platform from running; the message is one line a person can act on."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code
