"""Pictures for the assets' metadata: one idea each, as PNG inside Markdown."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from wearables_platform.models.evaluate import Judgement
    from wearables_platform.models.training_set import TrainingSet
    from wearables_platform.models.verdict import Verdict

LEARNT_FROM, HELD_OUT, LIMIT = "#4477aa", "#ee6677", "#222222"


def windows_by_person(windows: TrainingSet) -> dg.MarkdownMetadataValue:
    """Draw how many windows each person gives, and who is held out."""
    people = windows.people
    counts = [int((windows.person == person).sum()) for person in people]
    held_out = set(windows.take(windows.held_out).people)
    figure, axes = figure_and_axes()
    axes.bar(people, counts, color=[HELD_OUT if person in held_out else LEARNT_FROM for person in people])
    axes.set(title="Clean windows by person (red: held out)", ylabel="windows of 1 s")
    axes.tick_params(axis="x", rotation=90, labelsize=6)
    return markdown(figure, "windows by person")


def alarm_rates(by_person: Mapping[str, float], aim: float) -> dg.MarkdownMetadataValue:
    """Draw the alarm rate on each person when that person was not trained on."""
    ordered = sorted(by_person.items(), key=lambda entry: entry[1])
    figure, axes = figure_and_axes()
    axes.bar([person for person, _ in ordered], [100 * rate for _, rate in ordered], color=LEARNT_FROM)
    axes.axhline(100 * aim, color=LIMIT, linestyle="--", linewidth=1, label="aimed at")
    axes.set(title="Alarm rate by unseen person", ylabel="% of windows")
    axes.tick_params(axis="x", rotation=90, labelsize=6)
    axes.legend()
    return markdown(figure, "alarm rate by unseen person")


def champion_and_challenger(verdict: Verdict[Judgement]) -> dg.MarkdownMetadataValue:
    """Draw both versions' figures on the same held-out people."""
    figure, axes = figure_and_axes()
    judged = {"candidate": verdict.candidate, "incumbent": verdict.incumbent}
    for place, (label, judgement) in enumerate(judged.items()):
        if judgement is not None:
            axes.bar([x + 0.4 * place for x in range(3)], _bars(judgement), width=0.38, label=label)
    axes.set_xticks([0.2, 1.2, 2.2], ["average precision", "alarm rate", "its error"])
    axes.set(title=f"On {len(verdict.people)} held-out people", ylim=(0, 1))
    axes.legend()
    return markdown(figure, "champion and challenger")


def _bars(judgement: Judgement) -> list[float]:
    return [judgement.average_precision or 0.0, judgement.alarm_rate, judgement.alarm_rate_error]


def figure_and_axes() -> tuple[Any, Any]:
    """Return an empty picture."""
    from matplotlib.figure import Figure  # not pyplot: no global state in a long-lived process

    figure = Figure(figsize=(7, 3), layout="constrained")
    return figure, figure.subplots()


def markdown(figure: Any, alt: str) -> dg.MarkdownMetadataValue:
    """Return a picture as metadata."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{encoded})")
