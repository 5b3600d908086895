"""What every loader asks of a model before it may be used: the columns of this code, and the scores it states."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.inputs import Matrix
from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

Floats = NDArray[np.float64]

ACROSS_CPUS: Final = 1e-12
"""How far a probe's score may differ from the one stated when another kind of CPU trained the model."""


class Described(Protocol):
    """What a model's file says of itself."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def version(self) -> str:
        """Version of the model."""

    @property
    def feature_version(self) -> str:
        """Version of the window features it was made for."""

    @property
    def features(self) -> tuple[str, ...]:
        """Its columns, in order."""

    @property
    def stand_in(self) -> tuple[float, ...]:
        """What stands in for a number that does not exist, per column."""

    def probe_matrix(self) -> Matrix:
        """Return the (P, F) rows whose scores are stated."""


class OnTrial(Protocol):
    """A model that has been built and is not used yet."""

    @property
    def description(self) -> Described:
        """What its file says of it."""

    def score_matrix(self, matrix: Matrix) -> Floats:
        """Score (W, F) inputs."""


def check_description(description: Described, release: ModelRelease, features: tuple[str, ...]) -> None:
    """Refuse a file that is not the one released, or was made for other columns than this code's."""
    if (description.name, description.version) != (release.name, release.version):
        raise refused(
            Refusal.FOREIGN_SCHEMA,
            f"the release says {release.name} {release.version}, the file {description.name} {description.version}",
        )
    if description.feature_version != release.feature_version:
        raise refused(Refusal.FOREIGN_FEATURES, f"the file was made for version {description.feature_version}")
    if description.features != features:
        raise refused(Refusal.FOREIGN_SCHEMA, "the file's columns are not those of this code")
    if len(description.stand_in) != len(features) or not np.isfinite(description.stand_in).all():
        raise refused(Refusal.FOREIGN_SCHEMA, "not one finite stand-in per column")


def check_probe(model: OnTrial, stated: Any) -> None:
    """Score the rows the file carries and compare with what it says they score."""
    try:
        found = model.score_matrix(model.description.probe_matrix())
        expected = np.array(stated, dtype=np.float64)
    except ValueError as exc:
        raise refused(Refusal.FOREIGN_SCHEMA, f"the probe has other columns ({exc})") from exc
    if not len(found) or found.shape != expected.shape:
        raise refused(Refusal.WRONG_SCORES, f"{len(expected)} stated for {len(found)} probe rows")
    worst = float(np.abs(found - expected).max())
    if not worst <= ACROSS_CPUS:
        raise refused(Refusal.WRONG_SCORES, f"a probe row scores {worst:.3g} off what the file states")
