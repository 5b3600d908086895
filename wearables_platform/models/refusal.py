"""Why a model must not be used: a reason code a person can look up, and the detail."""

from __future__ import annotations

from enum import StrEnum

from wearables_platform.errors import ModelRefused


class Refusal(StrEnum):
    """Reason codes; `ModelRefused` begins its text with one of them."""

    CORRUPT = "corrupt"
    """The file cannot be read."""
    WRONG_SHA256 = "wrong_sha256"
    """The file is not the one that was published."""
    TOO_LARGE = "too_large"
    """The file unpacks to more than any model needs."""
    FOREIGN_SCHEMA = "foreign_schema"
    """The file describes another kind of model."""
    FOREIGN_FEATURES = "foreign_features"
    """The model was made for other window features."""
    FOREIGN_TYPES = "foreign_types"
    """The file holds a type no model of ours needs."""
    OTHER_SKLEARN = "other_sklearn"
    """The model was trained with another scikit-learn."""
    NOT_A_FOREST = "not_a_forest"
    """The trees' nodes do not form trees."""
    NAN_OUTPUT = "nan_output"
    """The model scored something that is no number."""
    WRONG_SCORES = "wrong_scores"
    """The model scores otherwise than when it was trained."""
    TOO_SLOW = "too_slow"
    """The model takes longer per window than the stream can spare."""
    TOO_LITTLE_DATA = "too_little_data"
    """There are too few clean windows to learn from."""
    OWN_OUTPUTS = "own_outputs"
    """The training set holds what a model said, not what was measured or labelled."""
    UNSAFE_THRESHOLDS = "unsafe_thresholds"
    """A threshold lies outside the limits it may never leave."""
    NOTHING_IN_FORCE = "nothing_in_force"
    """There is no version that could be taken back."""
    NOT_A_SHADOW = "not_a_shadow"
    """Only the version that ran in shadow can be promoted."""
    DECIDED_MEANWHILE = "decided_meanwhile"
    """Somebody else has changed the version's state since it was looked at."""
    BAD_SIGNATURE = "bad_signature"
    """The registry row, or the release, was not written by a holder of the signing key."""


def refused(reason: Refusal, detail: str) -> ModelRefused:
    """Return the exception that says why."""
    return ModelRefused(f"{reason}: {detail}")
