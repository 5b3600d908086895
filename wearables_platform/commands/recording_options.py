"""The options by which commands are told how to read a recording; one wording for all of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from wearables_platform.edge.recordings import ReadOptions
from wearables_platform.errors import ConfigError

RecordingPath = Annotated[Path, typer.Argument(metavar="PATH", help="CSV, .csv.gz or Parquet file.")]
TimeColumn = Annotated[str, typer.Option("--time", help="Column of the stamps; without one give --rate-hz.")]
TimeUnit = Annotated[str, typer.Option(help="Unit of the stamps: s, ms, us or ns.")]
TimeFormat = Annotated[str, typer.Option(help="For stamps written as text: how, as in strptime, or ISO8601.")]
TimeZone = Annotated[str, typer.Option(help="IANA zone of stamps written as text without one.")]
Axes = Annotated[str, typer.Option(help="Columns of the three axes: X,Y,Z.")]
Unit = Annotated[str, typer.Option(help="Unit of the axes: g or m/s2.")]
Scale = Annotated[float, typer.Option(help="A value times this is in --unit: 0.015625 for counts of 1/64 g.")]
Group = Annotated[str, typer.Option(help="Column that tells the recordings of one file apart.")]
Label = Annotated[str, typer.Option("--label", help="Column that says what was done; kept as labels of the device.")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="No header line: columns are numbers, from 0.")]
SkipRows = Annotated[int, typer.Option(help="Lines to skip before the header, or before the first row.")]
RateHz = Annotated[float, typer.Option(help="Samples per second, where they are not to be measured; 0 measures.")]
Start = Annotated[str, typer.Option(help="When the first sample was taken, ISO 8601 with zone; moves all stamps.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_options(
    *,
    time: str,
    time_unit: str,
    time_format: str,
    time_zone: str,
    axes: str,
    unit: str,
    scale: float,
    group: str,
    label: str = "",
    no_header: bool,
    skip_rows: int,
    rate_hz: float,
    start: str,
) -> ReadOptions:
    """Turn a command's options into a value; complains with the option's name."""
    if not scale or not math.isfinite(scale):
        msg = f"--scale must be a number other than 0, not {scale}"
        raise ConfigError(msg)
    return ReadOptions(
        axes=_three(axes),
        unit=unit,
        time=time or None,
        time_unit=time_unit,
        time_format=time_format or None,
        time_zone=time_zone,
        scale=scale,
        group=group or None,
        label=label or None,
        header=not no_header,
        skip_rows=skip_rows,
        rate_hz=rate_hz or None,
        start=parse_instant("--start", start) if start else None,
    )


def parse_instant(option: str, text: str) -> datetime:
    """Read an instant with a zone; ``now`` is this moment."""
    if text == "now":
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        msg = f"{option} {text!r} is not ISO 8601, such as 2026-03-29T10:00:00Z"
        raise ConfigError(msg) from exc
    if moment.tzinfo is None:
        msg = f"{option} {text!r} needs a time zone, such as a final Z"
        raise ConfigError(msg)
    return moment


def _three(axes: str) -> tuple[str, str, str]:
    names = tuple(name.strip() for name in axes.split(","))
    if len(names) != 3:
        msg = f"--axes needs three columns separated by commas, not {axes!r}"
        raise ConfigError(msg)
    if len(set(names)) != 3:
        msg = f"--axes names a column twice: {axes!r}"
        raise ConfigError(msg)
    return names
