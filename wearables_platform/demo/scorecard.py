"""The scorecard: lines on the screen and in a file, and the one answer they come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wearables_platform.demo.lines import Line
from wearables_platform.local.files import write_atomically


@dataclass(frozen=True)
class Scorecard:
    """What one run came to."""

    seed: int
    lines: Sequence[Line]
    seconds: float

    @property
    def green(self) -> bool:
        """Whether every line holds."""
        return bool(self.lines) and all(line.ok for line in self.lines)

    def write(self, path: Path) -> None:
        """Save as JSON."""
        document = {"seed": self.seed, "ok": self.green, "seconds": round(self.seconds, 1)}
        write_atomically(
            path, json.dumps({**document, "lines": [asdict(line) for line in self.lines]}, indent=2) + "\n"
        )

    def show(self, console: Console) -> None:
        """Print every line, and the problems of those that do not hold."""
        table = Table(
            "", "line", "planted", "found", "rule", title=f"Scorecard, seed {self.seed}", title_justify="left"
        )
        for line in self.lines:
            mark = "[green]ok[/]" if line.ok else "[bold red]NO[/]"
            table.add_row(mark, line.name, str(line.planted), str(line.found), line.rule)
        console.print(table)
        for line in self.lines:
            for problem in line.problems:
                console.print(f"[bold red]{line.name}[/]: {problem}", soft_wrap=True, highlight=False)
        verdict = "[bold green]every line holds[/]" if self.green else "[bold red]at least one line does not hold[/]"
        console.print(f"{verdict} after {self.seconds:.0f} s")
