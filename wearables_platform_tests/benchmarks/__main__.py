"""Run the benchmarks: ``python -m wearables_platform_tests.benchmarks [--only P1,P2] [--profile bar|full]``.

Prints a table and writes ``.wearables/benchmarks.json``; the exit code is 0 only if every figure measured holds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

# One line per figure. The module is imported only when one of its figures is wanted.
MODULES = {
    "P1": "p1_decode",
    "P2": "p2_stream",
    "P3": "p3_stock",
    "P10a": "p10_downsampling",
    "P10b": "p10_downsampling",
}
# (rounds, seconds a round may take)
PROFILES = {"quick": (2, 4.0), "bar": (5, 10.0), "full": (5, 60.0)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(MODULES), help="figures, separated by commas")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="bar")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",")
    unknown = [name for name in wanted if name not in MODULES]
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(MODULES)}")
    figures: list[dict[str, Any]] = []
    for module in dict.fromkeys(MODULES[name] for name in wanted):
        measure = importlib.import_module(f"wearables_platform_tests.benchmarks.{module}").measure
        measured = [asdict(figure) for figure in measure(*PROFILES[options.profile])]
        measured = [figure for figure in measured if figure["id"].split("-")[0] in wanted]
        figures += measured
        sys.stdout.write("".join(map(line, measured)))
        sys.stdout.flush()
    _write(figures, options.profile)
    return 0 if all(figure["ok"] for figure in figures) else 1


def line(figure: dict[str, Any]) -> str:
    """Return a figure as a line of the table."""
    verdict = "ok" if figure["ok"] else "MISSED" if figure["loss_check"] else "DATA WRONG"
    goal = f"must {figure['must']:g}, stretch {figure['stretch']:g}"
    return (
        f"{figure['id']:10} {figure['ratio']:8.2f} {figure['unit']:16} spread {figure['spread']:4.0%}  "
        f"{goal:24} {verdict:10} {figure.get('detail', '')}\n"
    )


def _write(figures: list[dict[str, Any]], profile: str) -> None:
    target = Path(os.environ.get("WEARABLES_RUN_DIR") or ".wearables") / "benchmarks.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"profile": profile, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
