"""What was planted, as plain values that survive a trip through JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple


class SpikeTruth(NamedTuple):
    """A planted movement."""

    device_id: str
    start_us: int
    peak_g: float


class BlockGlitches(NamedTuple):
    """Glitches planted in one block of 100 ms, named by the message that carries it."""

    message_id: str
    glitches: int


class GapTruth(NamedTuple):
    """Sequence numbers that are never sent, and the event time they would have had."""

    device_id: str
    boot: str
    first: int
    last: int
    start_us: int


class ClockStepTruth(NamedTuple):
    """The first message after the device's wall clock jumped."""

    device_id: str
    boot: str
    sequence: int
    step_us: int


class MessageTruth(NamedTuple):
    """A message, and what must become of it."""

    message_id: str
    reason: str


class LetterTruth(NamedTuple):
    """A payload that must become a dead letter."""

    payload_sha256: str
    reason: str


@dataclass
class FleetTruth:
    """Everything planted in the simulated fleet."""

    seed: int
    devices: list[str] = field(default_factory=list)
    windows: int = 0
    messages: int = 0
    spikes: list[SpikeTruth] = field(default_factory=list)
    glitches: list[BlockGlitches] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    gaps: list[GapTruth] = field(default_factory=list)
    reboots: list[str] = field(default_factory=list)  # first message of each boot after the first
    clock_steps: list[ClockStepTruth] = field(default_factory=list)
    quarantined: list[MessageTruth] = field(default_factory=list)
    dead_letters: list[LetterTruth] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Save as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> FleetTruth:
        """Load what `write` saved."""
        raw: dict[str, Any] = json.loads(path.read_text())
        return cls(**{each.name: _typed(each.name, raw[each.name]) for each in fields(cls)})


_ROWS: dict[str, Any] = {
    "spikes": SpikeTruth,
    "glitches": BlockGlitches,
    "gaps": GapTruth,
    "clock_steps": ClockStepTruth,
    "quarantined": MessageTruth,
    "dead_letters": LetterTruth,
}


def _typed(name: str, value: Any) -> Any:
    return [_ROWS[name](*row) for row in value] if name in _ROWS else value
