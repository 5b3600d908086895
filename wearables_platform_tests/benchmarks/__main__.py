"""Run the benchmarks: ``python -m wearables_platform_tests.benchmarks [--only P1,P2] [--profile bar|full]``.

Prints a table and writes ``.wearables/benchmarks.json``, where a figure stays until it is measured again; the exit code
is 0 only if every figure measured now holds. Sides alternate within a round, and a round that loses or changes data has
no speed. The servers are started for the run unless --kafka-url names a broker; that one's platform topics are deleted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from wearables_platform.errors import ConfigError
from wearables_platform_tests.benchmarks import runner
from wearables_platform_tests.servers import URL_VARIABLE

# One line per figure. The module is imported only when one of its figures is wanted.
MODULES = {
    "P1": "p1_decode",
    "P2": "p2_stream",
    "P2-bad": "p2_bad",
    "P3": "p3_stock",
    "P5": "p5_fleet",
    "P6": "p6_latency",
    "P7": "p7_scaling",
    "P8": "p7_scaling",
    "P9": "p9_state",
    "P10a": "p10_downsampling",
    "P10b": "p10_downsampling",
    "P13": "p13_sql_sink",
    "P14": "p13_sql_sink",
    "P15": "p15_redis",
    "P16": "p16_archive",
    "P17": "p17_aggregation",
    "P18": "p18_parquet",
    "P19": "p19_recovery",
    "P20": "p20_kill",
    "P23": "p23_api",
    "P24": "p24_swap",
}
WITHOUT_BROKER = (
    "p1_decode",
    "p9_state",
    "p10_downsampling",
    "p13_sql_sink",
    "p15_redis",
    "p16_archive",
    "p17_aggregation",
    "p18_parquet",
    "p23_api",
)
# (rounds, seconds a round may take)
PROFILES = {"quick": (2, 4.0), "bar": (5, 10.0), "full": (5, 60.0)}
PROFILE_NOTE = "quick: two rounds of 4 s, to try; bar: five of 10 s, the default; full: five of 60 s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; return the exit code."""
    options = _parser().parse_args(arguments)
    wanted = list(dict.fromkeys(options.only.split(",")))
    unknown = [name for name in wanted if name not in MODULES]
    if unknown:
        _parser().error(f"no such figure: {', '.join(unknown)}; there are {', '.join(MODULES)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if options.kafka_url:
        os.environ[URL_VARIABLE["kafka"]] = options.kafka_url
    figures: list[dict[str, Any]] = []
    modules = list(dict.fromkeys(MODULES[name] for name in wanted))
    with _progress(len(modules)) as finished:
        for module in modules:
            measured = _measured(module, wanted, options)
            figures += measured
            finished("".join(map(line, measured)))
            write(measured)
    return 0 if all(figure["ok"] for figure in figures) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m wearables_platform_tests.benchmarks",
        description="\n".join((__doc__ or "").splitlines()[2:]),
        epilog="What each figure means and its goal: docs/performance.md.",
    )
    parser.add_argument("--only", default=",".join(MODULES), help="figures, separated by commas (default: %(default)s)")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="bar", help=PROFILE_NOTE)
    parser.add_argument("--kafka-url", help="measure on this broker (kafka://host:port) instead of the embedded one")
    parser.add_argument("--broker-name", default="given by URL", help="how the results call that broker")
    return parser


def _measured(module: str, wanted: Sequence[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    measure = importlib.import_module(f"wearables_platform_tests.benchmarks.{module}").measure
    try:
        figures = [asdict(figure) for figure in measure(*PROFILES[options.profile])]
    except ConfigError as exc:
        sys.stderr.write(f"{module}: not measured: {exc}\n")
        return []
    broker = "none" if module in WITHOUT_BROKER else options.broker_name if options.kafka_url else "embedded"
    about = {
        "profile": options.profile,
        "broker": broker,
        "measured_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        **machine(),
    }
    mine = [figure for figure in figures if {figure["id"], figure["id"].split("-")[0]} & set(wanted)]
    return [{**figure, **about} for figure in mine]


def machine() -> dict[str, Any]:
    """Say what this was measured on, and which code."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((row.partition(":")[2].strip() for row in rows if "model name" in row), platform.machine())
    return {
        "machine": f"{os.cpu_count()} x {model}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip() or None,
    }


def line(figure: dict[str, Any]) -> str:
    """Return a figure as a line of the table."""
    verdict = "ok" if figure["ok"] else "MISSED" if figure["loss_check"] else "DATA WRONG"
    bound = "<= " if figure.get("at_most") else ""
    goal = f"must {bound}{figure['must']:g}, stretch {figure['stretch']:g}"
    return (
        f"{figure['id']:10} {figure['ratio']:8.2f} {figure['unit']:18} spread {figure['spread']:4.0%}  "
        f"{goal:27} {verdict:10} {figure.get('detail', '')}\n"
    )


def results_file() -> Path:
    """Return where the figures are kept."""
    return Path(os.environ.get("WEARABLES_RUN_DIR") or ".wearables") / "benchmarks.json"


def read() -> list[dict[str, Any]]:
    """Return the figures measured so far, one per figure and kind of broker."""
    return json.loads(results_file().read_text())["figures"] if results_file().exists() else []


def write(measured: list[dict[str, Any]]) -> None:
    """Put figures in the place of those measured before."""
    kept = {(figure["id"], figure.get("broker")): figure for figure in [*read(), *measured]}
    order = {name: i for i, name in enumerate(MODULES)}
    figures = sorted(kept.values(), key=lambda figure: order.get(figure["id"].split("-")[0], len(order)))
    target = results_file()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"figures": figures}, indent=1) + "\n")


@contextmanager
def _progress(modules: int) -> Iterator[Any]:
    """Show a bar on the terminal, a line per step elsewhere; yields what prints a finished figure."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=modules)

        def step(what: str, done: int, of: int) -> None:
            bar.update(task, description=f"{what} round {min(done + 1, of)} of {of}")
            if not console.is_terminal:
                sys.stderr.write(f"{what}: round {min(done + 1, of)} of {of}\n")

        def finished(text: str) -> None:
            bar.advance(task)
            bar.stop() if bar.finished else None
            sys.stdout.write(text)
            sys.stdout.flush()

        runner.listeners.append(step)
        yield finished
        runner.listeners.remove(step)


if __name__ == "__main__":
    sys.exit(main())
