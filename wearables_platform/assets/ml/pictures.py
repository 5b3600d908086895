"""Pictures of an evaluation as PNG: in an asset's metadata, and in the lake beside the model they are about."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from wearables_platform.clients.lake import Lake

UNSEEN, LIMIT = "#4477aa", "#222222"


def keep(lake: Lake, lake_path: str, pictures: Mapping[str, bytes]) -> dict[str, dg.MarkdownMetadataValue]:
    """Write pictures beside a model's file, `VERSION-NAME.png`, and return them as metadata."""
    stem = lake_path.rpartition(".")[0]
    for name, data in pictures.items():
        lake.put(f"{stem}-{name}.png", data)
    return {name: _shown(data, name) for name, data in pictures.items()}


def confusion_matrix(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> bytes:
    """Draw what was done against what was told, each row as shares of what was done."""
    import numpy as np

    figure, axes = _figure(5.0, 4.5)
    held = np.array(counts, dtype=np.float64).reshape(len(classes), len(classes))
    shares = held / np.maximum(held.sum(axis=1, keepdims=True), 1.0)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for row in range(len(classes)):
        for column in range(len(classes)):
            ink = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(classes)), classes, fontsize=7)
    axes.set(title="Unseen people: done (rows), told (columns)")
    return _png(figure)


def precision_recall(curve: Sequence[Sequence[float]], prevalence: float) -> bytes:
    """Draw precision over recall of known events, and what guessing would give."""
    figure, axes = _figure(5.0, 3.5)
    axes.step([point[0] for point in curve], [point[1] for point in curve], where="post", color=UNSEEN)
    axes.axhline(prevalence, color=LIMIT, linestyle="--", linewidth=1, label="guessing")
    axes.set(title="Known events, unseen people", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend()
    return _png(figure)


def by_person(values: Mapping[str, float], title: str, name: str) -> bytes:
    """Draw one bar per person, the worst first."""
    ordered = sorted(values.items(), key=lambda entry: entry[1])
    figure, axes = _figure(7.0, 3.0)
    axes.bar([person for person, _ in ordered], [value for _, value in ordered], color=UNSEEN)
    axes.set(title=title, ylabel=name, ylim=(0, 1))
    axes.tick_params(axis="x", rotation=90, labelsize=6)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # not pyplot: no global state in a long-lived process

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})  # equal figures, equal bytes
    return buffer.getvalue()


def _shown(data: bytes, alt: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(data).decode()})")
