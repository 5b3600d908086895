"""The card of a model that tells activities: what it says, learnt from and is good for, in words a person can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wearables_platform.models.registry import ModelVersion
from wearables_platform.models.spans import BASE_FEATURES, REACH_S


def class_card(row: ModelVersion) -> str:
    """Return the card of a version as Markdown."""
    metrics = row.metrics
    judged, held_out, warned = metrics["by_person"], metrics["held_out"], metrics["random_split"]
    windows = metrics["training_set"]
    return "\n".join(
        [
            f"# {row.name} {row.version}",
            "",
            f"State: {row.state}{f' ({row.refusal})' if row.refusal else ''}. "
            f"Feature version {row.feature_version}, model code version {row.code_version}, SHA-256 `{row.sha256}`.",
            "",
            f"**What it says.** Which of {len(judged['classes'])} activities a second's movement is, and how probable:",
            f"{', '.join(judged['classes'])}. Anything else is told as one of these: it cannot say that it knows none.",
            "",
            f"**What it sees.** {len(BASE_FEATURES)} features of the second, with the {REACH_S} s before and after it;",
            "probabilities lean on the second before and after. Posture is among them: worn otherwise, it does worse.",
            "",
            f"**What it learnt from.** {len(row.training_people)} people, {row.training_days}; labels by "
            f"{', '.join(windows['said_by'])}. {_left_out(windows['left_out'])}",
            "",
            "| judged on people it has not seen | windows | people | accuracy | macro-F1 |",
            "|---|---|---|---|---|",
            _line("cross-validation by person", judged),
            _line("held-out people", held_out),
            *(_line(name, figures) for name, figures in metrics["by_slice"].items()),
            f"| a random split, each person on both sides (flattering; do not quote) | | | {warned['accuracy']:.3f} | "
            f"{warned['macro_f1']:.3f} |",
            "",
            "| activity | windows | precision | recall | F1 |",
            "|---|---|---|---|---|",
            *(_activity(name, figures) for name, figures in judged["by_class"].items()),
            "",
            "| done, told as | " + " | ".join(judged["classes"]) + " |",
            "|---" * (len(judged["classes"]) + 1) + "|",
            *_confusion(judged["classes"], judged["confusion"]),
            "",
            _spread(judged["macro_f1_by_person"]),
            *_gate(metrics.get("gate")),
            *_retold(metrics.get("retold")),
            "",
        ]
    )


def _line(name: str, figures: Mapping[str, Any]) -> str:
    return (
        f"| {name} | {figures['windows']:,} | {figures['people']} | {figures['accuracy']:.3f} | "
        f"{figures['macro_f1']:.3f} |"
    )


def _activity(name: str, figures: Mapping[str, Any]) -> str:
    shares = " | ".join("-" if figures[one] is None else f"{figures[one]:.3f}" for one in ("precision", "recall", "f1"))
    return f"| {name} | {figures['windows']:,} | {shares} |"


def _confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> list[str]:
    return [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in zip(classes, counts, strict=True)]


def _left_out(left_out: Mapping[str, int]) -> str:
    if not left_out:
        return "Every label was used."
    named = ", ".join(f"{name} ({count} windows)" for name, count in left_out.items())
    return f"Left out, because too few people did it: {named}."


def _spread(by_person: Mapping[str, float]) -> str:
    if not by_person:
        return "Too few people for a cross-validation."
    ordered = sorted(by_person.values())
    return (
        f"**From person to person.** Macro-F1 from {ordered[0]:.3f} to {ordered[-1]:.3f}, "
        f"the middle one {ordered[len(ordered) // 2]:.3f}."
    )


def _gate(gate: Mapping[str, Any] | None) -> list[str]:
    if gate is None:
        return []
    against = gate["compared_with"] or "no incumbent"
    verdict = "passed" if gate["passed"] else "refused: " + "; ".join(gate["refusals"])
    return ["", f"**Gate.** Against {against} on {len(gate['people'])} held-out people: {verdict}."]


def _retold(retold: Mapping[str, Any] | None) -> list[str]:
    if not retold or not retold["windows"]:
        return []
    moves = ", ".join(f"{move} ({count})" for move, count in retold["moves"].items())
    return [
        "",
        f"**What it tells otherwise.** {retold['changed']:,} of {retold['windows']:,} unlabelled windows of "
        f"{retold['day']} ({retold['changed'] / retold['windows']:.1%}); who is right, nobody knows: {moves or '-'}.",
    ]
