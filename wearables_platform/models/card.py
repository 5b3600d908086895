"""The model card: what a version is, learnt from and good for, in words a person can check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wearables_platform.models.inputs import MIN_SCORING_COVERAGE, MODEL_FEATURES
from wearables_platform.models.registry import ModelVersion


def model_card(row: ModelVersion) -> str:
    """Return the card of a version as Markdown."""
    metrics = row.metrics
    return "\n".join(
        [
            f"# {row.name} {row.version}",
            "",
            f"State: {row.state}{f' ({row.refusal})' if row.refusal else ''}. "
            f"Feature version {row.feature_version}, model code version {row.code_version}, SHA-256 `{row.sha256}`.",
            "",
            "**What it says.** How unusual a one-second window of wrist movement is among the people it was trained",
            "on, from 0 to 1. It does not say why, and amplitude is no diagnosis: clapping scores like a fall.",
            "",
            f"**What it sees.** {', '.join(MODEL_FEATURES)}. A number that does not exist counts as the training",
            f"median; a window with less than {MIN_SCORING_COVERAGE:.0%} of its samples has no score.",
            "",
            f"**What it learnt from.** {len(row.training_people)} people, {row.training_days}.",
            "",
            "| judged on people it has not seen | |",
            "|---|---|",
            *_figures(metrics["by_person"]),
            f"| the same with each person on both sides of the split (flattering; do not quote) | "
            f"{_number(metrics['random_split_average_precision'])} |",
            f"| alarm from a score of | {metrics['alarm_threshold']:.4f} |",
            *_gate(metrics.get("gate")),
            "",
        ]
    )


def _figures(judged: Mapping[str, Any]) -> list[str]:
    return [
        f"| people, windows, spike windows | {judged['people']}, {judged['windows']:,}, {judged['events']} |",
        f"| average precision of spike windows | {_number(judged['average_precision'])} |",
        f"| the same by guessing | {judged['prevalence']:.4f} |",
        f"| VUS-PR: with credit for alarms up to 5 s beside an event | {_number(judged.get('vus_pr'))} |",
        f"| average precision on the worst person | {_worst(judged.get('average_precision_by_person'))} |",
        f"| alarm rate, mean over people | {judged['alarm_rate']:.2%} |",
        f"| its distance from the rate aimed at, mean over people | {judged['alarm_rate_error']:.2%} |",
    ]


def _gate(gate: Mapping[str, Any] | None) -> list[str]:
    if gate is None:
        return []
    against = gate["compared_with"] or "no incumbent"
    verdict = "passed" if gate["passed"] else "refused: " + "; ".join(gate["refusals"])
    return ["", f"**Gate.** Against {against} on {len(gate['people'])} held-out people: {verdict}."]


def _worst(by_person: Mapping[str, float] | None) -> str:
    return "too few known events" if not by_person else f"{min(by_person.values()):.4f}"


def _number(value: float | None) -> str:
    return "too few known events" if value is None else f"{value:.4f}"
