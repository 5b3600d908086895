"""How far a mean over people may be trusted: the interval of means over people drawn again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 1_000
# So many numbers are drawn at once: 16 MB, however large the group.
DRAWS_AT_ONCE: Final = 1 << 20


def bootstrap_interval(values: npt.NDArray[np.float64], key: Iterable[object]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over resampled people; the key is the seed: it stays the same.

    Parameters
    ----------
    values : (N,) float64, N >= 1
        One value per person, in an order that does not change.
    key
        What the interval is of.

    Returns
    -------
    low, high
        In the unit of the values.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Examples
    --------
    >>> bootstrap_interval(np.array([60.0, 60.0, 60.0]), ("2026-03", "sex", "female"))
    (60.0, 60.0)
    """
    seed = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    rng, n = np.random.default_rng(int.from_bytes(seed[:8], "big")), len(values)
    at_once = max(1, DRAWS_AT_ONCE // n)
    parts = [min(at_once, RESAMPLES - done) for done in range(0, RESAMPLES, at_once)]
    means = np.concatenate([values[rng.integers(0, n, (part, n))].mean(axis=1) for part in parts])
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
