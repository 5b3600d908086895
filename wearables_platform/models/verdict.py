"""What a gate decided of a candidate, with every figure it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar


class Judged(Protocol):
    """What a version did on windows of people it has not seen."""

    def gate_figures(self) -> dict[str, Any]:
        """Return what the registry keeps of it beside the decision, as plain values."""


JudgedT = TypeVar("JudgedT", bound=Judged)


@dataclass(frozen=True)
class Verdict(Generic[JudgedT]):
    """A gate's decision; `slices` has the candidate and the incumbent, where there is one, by name of the slice."""

    refusals: tuple[str, ...]
    people: tuple[str, ...]
    candidate: JudgedT | None = None
    incumbent: JudgedT | None = None
    compared_with: str | None = None
    warnings: tuple[str, ...] = field(default=())
    slices: Mapping[str, tuple[JudgedT, JudgedT | None]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the candidate may go on."""
        return not self.refusals

    def as_metrics(self) -> dict[str, Any]:
        """Return the verdict as plain values for the registry."""
        return {
            "passed": self.passed,
            "refusals": list(self.refusals),
            "warnings": list(self.warnings),
            "people": list(self.people),
            "compared_with": self.compared_with,
            "candidate": _figures(self.candidate),
            "incumbent": _figures(self.incumbent),
            "slices": {
                name: {"candidate": _figures(ours), "incumbent": _figures(theirs)}
                for name, (ours, theirs) in self.slices.items()
            },
        }


def _figures(judged: Judged | None) -> dict[str, Any] | None:
    return None if judged is None else judged.gate_figures()
