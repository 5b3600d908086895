"""What a server is, before it runs: a value. The supervisor and the tests start it alike."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wearables_platform.local import tether
from wearables_platform.local.privileges import Identity
from wearables_platform.local.probes import Address


@dataclass(frozen=True)
class ServerSpec:
    """A server that can be started; ``server`` is its key in `local.limits.LIMITS`."""

    name: str
    server: str
    version: str
    chosen: str
    argv: tuple[str, ...]
    address: Address
    url: str = field(repr=False)  # holds the password
    probe: Callable[[Address], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    identity: Identity | None = None
    stale_files: tuple[Path, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM

    def ready(self) -> bool:
        """Tell whether the server would serve a client now."""
        return self.probe(self.address)

    @property
    def tethered_argv(self) -> tuple[str, ...]:
        """The command that starts it, ends it with its parent, and drops root where it must."""
        return tethered(self.argv, self.identity, self.stale_files)


def tethered(
    argv: tuple[str, ...], identity: Identity | None = None, stale_files: tuple[Path, ...] = ()
) -> tuple[str, ...]:
    """Put the tether in front of a command."""
    options: list[str] = []
    if identity is not None:
        options += ["--user", f"{identity.uid}:{identity.gid}"]
    for stale in stale_files:
        options += ["--remove", str(stale)]
    return (sys.executable, "-I", "-S", str(Path(tether.__file__)), *options, "--", *argv)
