"""Write the measured figures into docs/performance.md, and draw the plot of P8.

``python -m wearables_platform_tests.benchmarks.report`` takes ``.wearables/benchmarks.json``, which `make bench`
writes, and replaces what stands between the page's marks. What was not measured is said to be so; no old number is
kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from wearables_platform_tests.benchmarks.__main__ import MODULES, read
from wearables_platform_tests.schema import ROOT

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "scaling.png"
ABOUT = {
    "P1": "decoding messages to one array, against parsing each and reading a repeated field",
    "P2": "the stream with everything on, against a bare loop that consumes and counts bytes, 190-byte messages",
    "P2-19kB": "the same with raw 16 kHz messages of 19 kB, by bytes",
    "P2-bad": "the stream on a log of which a tenth is bad, against the log without faults",
    "P3": "the stream, against the stock Bytewax style doing the same job one message at a time",
    "P3-lean": "the stream with everything on, against a stock dataflow that only computes six columns",
    "P5": "the stream's processor time for a fleet's 100,000 messages a second in real time",
    "P6": "append to the latest sample in Redis, at the highest rate that leaves 30 % of the machine idle",
    "P7": "cost of a message at 10,000 devices, against 100",
    "P8": "log-log slope of the total cost over 1,000 to 32,000 devices",
    "P9": "bytes of the state's own columns per device at 100 Hz",
    "P9-rss": "growth of the process per device",
    "P10a": "16 kHz x 3 x float32 reduced to 100 Hz with 60 dB alias rejection, one core",
    "P10b": "the same with glitch filter and peaks",
    "P10b-mean": "the thin client's default, the block mean",
    "P13": "the SQL sink's first delivery, against a bare binary COPY of encoded rows",
    "P14": "the SQL sink, against `executemany`",
    "P15": "what the Redis sink asks of the server",
    "P16": "messages of ten blocks of 100 ms into MongoDB, against of one block, the same samples",
    "P16-bare": "the archive's sink from the log's bytes on, against a bare unordered `insert_many`",
    "P16-disk": "what they take on disk",
    "P17": "daily activity from the same Parquet, start to end: Spark `local[2]`, against the default engine",
    "P17-rss": "the default engine's largest resident set, against Spark's",
    "P18": "bytes of the lake's files, per byte of the samples as int16",
    "P19-100": "the stream with recovery on, against off, 100 devices",
    "P19-10k": "the same with 10,000 devices",
    "P20": "from `kill -9` to the first new value in Redis",
    "P23": "newest values over the query API, requests a second against hello world on the same WSGI server",
    "P23-p99": "their 99th percentile at half that rate",
    "P24": "by how much a step of the stream takes longer while a model is exchanged, one core flat out",
    "P24-score": "a lane's rate with a model in force, against without",
    "P20-standby": "the same, with a second stream that waits",
    "P20-standby-caught-up": "the same, with a second stream that waits",
    "P20-caught-up": "from there until caught up, against backlog / (0.9 x highest rate)",
}


def table(figures: list[dict[str, Any]]) -> str:
    """Return the table of all figures."""
    rows = ["| figure | what | must | stretch | measured | spread | | broker | profile, code |", "|" + "---|" * 9]
    measured = {name if name in MODULES else name.split("-")[0] for name in (figure["id"] for figure in figures)}
    rows += [_row(figure) for figure in figures]
    rows += [
        f"| {name} | {ABOUT.get(name, '')} | | | not measured | | | | |" for name in MODULES if name not in measured
    ]
    return "\n".join(rows)


def _row(figure: dict[str, Any]) -> str:
    verdict = "ok" if figure["ok"] else "**missed**" if figure["loss_check"] else "**data wrong**"
    if figure["ok"] and _reaches(figure, figure["stretch"]):
        verdict = "stretch"
    bound = "<=" if figure.get("at_most") else ">="
    code = f"{figure.get('profile', '')}, `{figure.get('commit')}`"
    cells = (
        figure["id"],
        ABOUT.get(figure["id"], ""),
        f"{bound} {figure['must']:g}",
        f"{bound} {figure['stretch']:g}",
        f"{figure['ratio']:.2f} {figure['unit']}",
        f"{figure['spread']:.0%}",
        verdict,
        figure.get("broker", ""),
        code,
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def _reaches(figure: dict[str, Any], goal: float) -> bool:
    low = figure.get("stretch_low")
    if low is not None and figure["ratio"] < low:
        return False
    return bool(figure["ratio"] <= goal if figure.get("at_most") else figure["ratio"] >= goal)


def details(figures: list[dict[str, Any]]) -> str:
    """Return what the sides did, absolutely, and on which machine."""
    machines = sorted({f"{figure['machine']}, Python {figure['python']}" for figure in figures if "machine" in figure})
    lines = [f"Machine: {'; '.join(machines) or 'not known'}.", ""]
    lines += [
        f"- **{figure['id']}** (broker: {figure.get('broker')}; {figure.get('measured_at')} UTC): {figure['detail']}"
        for figure in figures
        if figure.get("detail")
    ]
    return "\n".join(lines)


def replaced(page: str, name: str, text: str) -> str:
    """Put text between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, found, rest = page.partition(begin)
    _old, closed, tail = rest.partition(end)
    if not found or not closed:
        msg = f"no {begin} ... {end} in {PAGE.name}"
        raise ValueError(msg)
    return f"{head}{begin}\n{text}\n{end}{tail}"


def draw(series: dict[str, list[float]], target: Path) -> None:
    """Draw cost over devices: in all, and per message."""
    from matplotlib.figure import Figure

    devices, each_us = series["devices"], series["cpu_us_per_message"]
    canvas = Figure(figsize=(9, 3.8), layout="constrained")
    total, single = canvas.subplots(1, 2)
    points = [(n, us * n * 10 / 1e6) for n, us in zip(devices, each_us, strict=True)]
    total.loglog(*zip(*points, strict=True), "o-", label="measured")
    unit = points[len(points) // 2]
    total.loglog(devices, [unit[1] * n / unit[0] for n in devices], "--", color="grey", label="linear")
    total.set(xlabel="devices", ylabel="CPU-seconds per second of the fleet", title="total cost")
    total.legend()
    single.semilogx(devices, each_us, "o-")
    single.set(
        xlabel="devices", ylabel="CPU microseconds", title="per message of 100 ms", ylim=(0, max(each_us) * 1.25)
    )
    for axes in (total, single):
        axes.grid(visible=True, which="major", alpha=0.3)
    canvas.savefig(target, dpi=110)


def main() -> int:
    """Write the page and the plot."""
    figures = read()
    page = replaced(PAGE.read_text(), "figures", table(figures))
    PAGE.write_text(replaced(page, "details", details(figures)))
    series = next((figure["series"] for figure in figures if figure["id"] == "P8" and figure.get("series")), None)
    if series:
        draw(series, PLOT)
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {len(figures)} figures\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
