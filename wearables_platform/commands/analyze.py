"""``wearables analyze``: the platform's signal kernels over a recording, offline; no server is needed."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from wearables_platform.commands import recording_options as given
from wearables_platform.edge.heart_rates import HeartRates, read_heart_rates, require_overlap
from wearables_platform.edge.recordings import Recording, read_recordings
from wearables_platform.signals.offline import AnalysisParams, analyze_recording

# What the table shows: name in the JSON to heading.
SHOWN = {
    "samples": "samples",
    "skipped": "skipped",
    "seconds": "s",
    "rate_hz": "Hz",
    "steps": "steps",
    "enmo_mg": "ENMO mg",
    "mad_mg": "MAD mg",
    "glitches": "glitches",
    "clipped": "clipped",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze")(analyze)


def analyze(
    path: given.RecordingPath,
    axes: given.Axes,
    unit: given.Unit,
    time: given.TimeColumn = "",
    time_unit: given.TimeUnit = "s",
    time_format: given.TimeFormat = "",
    time_zone: given.TimeZone = "UTC",
    scale: given.Scale = 1.0,
    group: given.Group = "",
    no_header: given.NoHeader = False,
    skip_rows: given.SkipRows = 0,
    rate_hz: given.RateHz = 0.0,
    start: given.Start = "",
    range_g: Annotated[
        float,
        typer.Option("--range-g", metavar="<float>", help="Range of the sensor, g: 2, 4, 8 or 16.", min=0.1),
    ] = 16.0,
    windows: Annotated[bool, typer.Option("--windows", help="Add the 1 s windows to the JSON.")] = False,
    heart_rate: Annotated[
        Path | None,
        typer.Option(
            "--heart-rate",
            metavar="FILE",
            help="Heart rates of the same person, for the rules: CSV of seconds since 1970 and bpm, or an E4's HR.csv.",
        ),
    ] = None,
    as_json: given.AsJson = False,
) -> None:
    """Run the signal kernels over each recording of a file and print what they find.

    enmo_mg and mad_mg are over the samples as recorded; enmo_clean_mg over what is left after cleaning.

    Exit codes: 0 done; 1 the file holds no usable recording; 3 the file or an option is wrong.
    """
    options = given.read_options(
        time=time, time_unit=time_unit, time_format=time_format, time_zone=time_zone, axes=axes, unit=unit,
        scale=scale, group=group, no_header=no_header, skip_rows=skip_rows, rate_hz=rate_hz, start=start,
    )  # fmt: skip
    recordings = read_recordings(path, options)
    params = AnalysisParams(range_g=range_g)
    heart = None if heart_rate is None else read_heart_rates(heart_rate)
    found = [_analyzed(recording, params, heart, with_windows=windows) for recording in recordings]
    if as_json:
        sys.stdout.write(json.dumps({"recordings": found}, allow_nan=False) + "\n")
    else:
        _print(found)
    if not any(each["samples"] for each in found):
        raise typer.Exit(1)


def _analyzed(
    recording: Recording, params: AnalysisParams, heart: HeartRates | None, *, with_windows: bool
) -> dict[str, Any]:
    if heart is not None:
        require_overlap(heart, recording.time_us)
    rate_hz = recording.rate_hz if math.isfinite(recording.rate_hz) else None
    summary = analyze_recording(
        recording.time_us,
        recording.accel_g,
        rate_hz=rate_hz,
        params=params,
        with_windows=with_windows,
        heart=None if heart is None else (heart.time_us, heart.bpm),
    )
    plain = summary.to_dict()
    reasons = {**recording.skipped, **plain.pop("skipped")}
    if heart is not None:
        plain["heart_rates"] = len(heart)
        plain["heart_rates_skipped"] = heart.skipped
    return {
        "group": recording.group,
        "samples": plain.pop("samples"),
        "skipped": sum(reasons.values()),
        "skipped_by_reason": reasons,
        **plain,
    }


def _print(found: list[dict[str, Any]]) -> None:
    table = Table("group", *SHOWN.values(), "spikes", "events", box=None)
    for each in found:
        counts = (str(len(each[name])) for name in ("spikes", "events"))
        table.add_row(each["group"] or "-", *(_shown(each[name]) for name in SHOWN), *counts)
    console = Console(highlight=False)
    console.print(table, soft_wrap=True)
    for each in found:
        for event in each["events"]:
            console.print(
                f"{each['group'] or 'event'}: {event['kind']} from {event['start_s']:.0f} s to {event['end_s']:.0f} s, "
                f"{event['extreme_value']:.4g} {event['extreme_unit']}",
                markup=False,
            )
        for reason, rows in each["skipped_by_reason"].items():
            console.print(f"{each['group'] or 'skipped'}: {rows} rows {reason}")


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
