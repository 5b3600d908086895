"""Champion and challenger over time: what the gate measured of every version, and what each scored live."""

from __future__ import annotations

from typing import Any, Final

import dagster as dg
import numpy as np

from wearables_platform.assets.ml.plots import figure_and_axes, markdown
from wearables_platform.models.live_scores import LiveScores, read_live_scores
from wearables_platform.models.registry import ModelRegistry, ModelVersion
from wearables_platform.models.score_counts import BINS

SHOWN_CHANGES: Final = 30
SHOWN_VERSIONS: Final = 12
_COLOURS: Final = {
    "in_force": "#228833",
    "retired": "#4477aa",
    "shadow": "#ccbb44",
    "refused": "#ee6677",
    "rolled_back": "#aa3377",
    "candidate": "#bbbbbb",
}


def pictures(registry: ModelRegistry, name: str) -> dict[str, dg.MetadataValue]:
    """Return the history of a model as metadata: figures by version, live alarm rates by hour, the last changes."""
    versions = registry.versions(name)[-SHOWN_VERSIONS:]
    found: dict[str, dg.MetadataValue] = {"changes": _changes(registry, name)}
    if versions:
        found["champion_and_challenger_over_time"] = _over_versions(versions)
    live = {
        f"{one.version} {role}": read_live_scores(registry.sql, name, one.version, role)
        for one in versions
        for role in ("in_force", "shadow")
    }
    live = {label: scores for label, scores in live.items() if scores.hours}
    if live:
        found["live_alarm_rates"] = _over_hours(live)
        found["live_score_distributions"] = _distributions(live)
    return found


def draw_score_distributions(axes: Any, live: dict[str, LiveScores]) -> None:
    """Draw how live scores are spread, a line for each label: a shadow that lies elsewhere than its champion shows."""
    places = (np.arange(BINS) + 0.5) / BINS
    for label, scores in live.items():
        total = scores.total
        share = 100 * total.bins / max(int(total.bins.sum()), 1)
        axes.step(places, share, where="mid", label=f"{label}: {total.windows:,} windows")
    axes.set(title="How live scores are spread", xlabel="score", ylabel="% of windows", xlim=(0.2, 1))
    axes.legend(fontsize=6)


def _distributions(live: dict[str, LiveScores]) -> dg.MarkdownMetadataValue:
    figure, axes = figure_and_axes()
    draw_score_distributions(axes, live)
    return markdown(figure, "live score distributions")


def _changes(registry: ModelRegistry, name: str) -> dg.MetadataValue:
    lines = ["| when | version | from | to | by | because |", "|---|---|---|---|---|---|"]
    for one in registry.changes(name)[-SHOWN_CHANGES:]:
        when, before = f"{one.changed_at:%Y-%m-%d %H:%M:%S}", one.from_state or "-"
        lines.append(f"| {when} | {one.version} | {before} | {one.to_state} | {one.changed_by} | {one.because} |")
    return dg.MetadataValue.md("\n".join(lines))


def _over_versions(versions: list[ModelVersion]) -> dg.MarkdownMetadataValue:
    figure, axes = figure_and_axes()
    for place, one in enumerate(versions):
        gate: dict[str, Any] = one.metrics.get("gate") or {}
        for role, marker in (("candidate", "o"), ("incumbent", "x")):
            value = (gate.get(role) or {}).get("average_precision")
            if value is not None:
                axes.plot(place, value, marker, color=_COLOURS[one.state])
    axes.set_xticks(range(len(versions)), [f"{one.version}\n{one.state}" for one in versions])
    axes.tick_params(axis="x", labelsize=6, rotation=20)
    axes.set(title="On the same held-out people: o challenger, x champion", ylabel="average precision", ylim=(0, 1))
    return markdown(figure, "champion and challenger over time")


def _over_hours(live: dict[str, LiveScores]) -> dg.MarkdownMetadataValue:
    figure, axes = figure_and_axes()
    for label, scores in live.items():
        hours = sorted(scores.hours)
        axes.plot(hours, [100 * scores.hours[hour].alarm_rate for hour in hours], "o-", markersize=3, label=label)
    axes.set(title="Live windows called unusual, per hour of event time", ylabel="% of windows")
    axes.tick_params(axis="x", labelsize=6, rotation=20)
    axes.legend(fontsize=6)
    return markdown(figure, "live alarm rates")
