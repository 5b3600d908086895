"""How long each part of the demo took: beside the scorecard, so that whoever makes it faster knows where to begin."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from wearables_platform.local.files import write_atomically

FILE_NAME: Final = "timings.json"


@dataclass(frozen=True)
class PartOutcome:
    """What became of one part that Dagster was asked for, and what it took.

    Attributes
    ----------
    seconds, cpu_seconds
        By the clock, and of a processor: on a machine that others use, only the second can be compared.
    """

    succeeded: bool
    seconds: float
    cpu_seconds: float


NOT_DONE: Final = PartOutcome(succeeded=False, seconds=0.0, cpu_seconds=0.0)


@dataclass
class Timings:
    """Steps of the demo as they end, and the parts of its Dagster steps."""

    steps_s: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path, parts: dict[str, PartOutcome]) -> None:
        """Save as JSON."""
        steps = {title: round(seconds, 1) for title, seconds in self.steps_s.items()}
        document = {"steps_s": steps, "dagster": {title: asdict(part) for title, part in parts.items()}}
        write_atomically(path, json.dumps(document, indent=2) + "\n")
