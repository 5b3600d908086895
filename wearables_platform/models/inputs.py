"""What a model sees of a window: which columns, which windows, and what stands in for a missing number."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.windows import WindowRows

Matrix = NDArray[np.float32]

ACTIVITY_ANOMALY: Final = "activity_anomaly"
"""The model that scores windows in the stream."""

MODEL_FEATURES: Final[tuple[str, ...]] = (
    "vm_mean_g",
    "vm_std_g",
    "vm_min_g",
    "vm_max_g",
    "vm_p95_g",
    "enmo_mg",
    "mad_mg",
    "x_std_g",
    "y_std_g",
    "z_std_g",
    "jerk_rms_g_s",
    "dominant_hz",
    "dominant_power_share",
    "spectral_entropy",
    "zero_crossings",
    "peaks",
    "steps",
)
"""Movement alone. Left out on purpose: counts, rate, coverage and flags, which describe the recording and would make a
bad link look like unusual movement; axis means and the z angle, which follow how a watch is strapped on; and the peaks
at the source's rate, which only some devices measure."""

MIN_SCORING_COVERAGE: Final = 0.5
"""Below half a window its spread and spectrum say more about the gap than about the wearer: such a row has no score."""

MIN_TRAINING_COVERAGE: Final = 0.9

UNFIT_FOR_TRAINING: Final = (
    QualityFlag.GAP
    | QualityFlag.STUCK
    | QualityFlag.OUT_OF_RANGE
    | QualityFlag.NON_FINITE
    | QualityFlag.CLOCK_STEP
    | QualityFlag.OVERLAP
    | QualityFlag.PROVISIONAL
)
"""A model learns what is usual from windows nothing is known to be wrong with."""


def feature_matrix(rows: WindowRows) -> Matrix:
    """Return the (W, F) float32 inputs, NaN where a feature is not defined."""
    columns = [rows[name].astype(np.float32) for name in MODEL_FEATURES]
    return np.column_stack(columns) if columns else np.empty((len(rows), 0), dtype=np.float32)


def scorable(rows: WindowRows) -> NDArray[np.bool_]:
    """Mark the windows that hold enough movement to be scored at all."""
    return np.isfinite(rows["vm_mean_g"]) & (rows["coverage"] >= MIN_SCORING_COVERAGE)


def trainable(rows: WindowRows) -> NDArray[np.bool_]:
    """Mark the windows a model may learn from."""
    clean = (rows["flags"].astype(np.int32) & int(UNFIT_FOR_TRAINING)) == 0
    return np.asarray(scorable(rows) & clean & (rows["coverage"] >= MIN_TRAINING_COVERAGE))


def medians(matrix: Matrix) -> Matrix:
    """Return each column's median over its numbers: what stands in for NaN; 0 for a column without any."""
    known = ~np.isnan(matrix)
    return np.array(
        [np.median(column[mask]) if mask.any() else 0.0 for column, mask in zip(matrix.T, known.T, strict=True)],
        dtype=np.float32,
    )


def imputed(matrix: Matrix, stand_in: Matrix) -> Matrix:
    """Return the matrix with every NaN replaced by its column's stand-in."""
    return np.where(np.isnan(matrix), stand_in, matrix)
