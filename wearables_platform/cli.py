"""The ``wearables`` command. Each command lives in `wearables_platform.commands` and is imported when it is asked for.

Exit codes of every command: 0 done; 1 it ran and the answer is no; 2 wrong command line; 3 configuration; 4 port in
use; 5 disk; 6 no such server to start; 7 something did not become healthy; 8 the in-memory Kafka died; 9 already
running; 10 not running; 11 a store does not answer, try again.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping

import typer

from wearables_platform.errors import AccessRefused, ConfigError, StoreUnavailable, WearablesError
from wearables_platform.local.failures import ExitCode, StartError

# Command to its module in `wearables_platform.commands` (which has `register(app)`) and the line --help shows.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("up", "Start the servers and processes and keep them running."),
    "down": ("down", "End the running instance."),
    "demo": ("demo", "Run the whole platform on real recordings and a planted fleet; print the scorecard."),
    "status": ("status", "Show what runs and the counts per stage and topic."),
    "doctor": ("doctor", "Check this machine: servers, versions, and what each cannot do."),
    "enroll": ("enroll", "Enrol participants and devices, one or from CSV."),
    "replay-recording": ("replay_recording", "Send a recording through the thin client."),
    "simulate": ("simulate", "Send a simulated fleet with known truth."),
    "analyze": ("analyze", "Run the signal kernels over a recording, offline."),
    "models": ("models", "List model versions; promote the one in shadow; roll one back."),
    "sql": ("sql", "Make, list and end logins for people who write SQL."),
    "tokens": ("tokens", "Issue, list and revoke tokens of the query API."),
    "webhooks": ("webhooks", "Tell receivers of events by signed HTTP."),
    "secrets": ("secrets", "Draw the secrets of a deployment into files."),
    "prepare": ("prepare", "Bring schema, logins, topics and MQTT accounts up to date, once, before the processes."),
    "run": ("run", "Run one process of the platform in the foreground."),
}

_EXIT_CODES = " ".join((__doc__ or "").split("\n\n")[1].split())


def build_app(requested: str | None) -> typer.Typer:
    """Build the command line with every command listed and only the requested one imported."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Wearables data platform.",
        epilog=_EXIT_CODES,
    )
    app.callback()(_root)
    for name, (module, line) in COMMANDS.items():
        if name == requested:
            importlib.import_module(f"wearables_platform.commands.{module}").register(app)
        else:
            app.command(name, help=line)(_root)
    return app


def _root() -> None:
    pass


def exit_code_of(error: WearablesError) -> ExitCode:
    """Return the documented exit code of an error."""
    if isinstance(error, StartError):
        return error.exit_code
    if isinstance(error, ConfigError | AccessRefused):
        return ExitCode.CONFIG
    return ExitCode.STORE_UNAVAILABLE if isinstance(error, StoreUnavailable) else ExitCode.FAILED


def main() -> None:
    """Run the command line: an expected failure is one line and its exit code, never a traceback."""
    requested = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        build_app(requested)()
    except WearablesError as error:
        sys.stderr.write(f"wearables: {error}\n")
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell reports for Ctrl-C


if __name__ == "__main__":
    main()
