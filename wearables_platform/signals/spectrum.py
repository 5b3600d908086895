"""Spectra of whole epochs: dominant frequency, its share of the power, spectral entropy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SAMPLES = 8
"""A shorter epoch has fewer than four frequencies: nothing dominates."""

MIN_POWER = 1e-12
"""g^2; below this the epoch is constant to rounding, and has no frequency."""


@dataclass(frozen=True)
class Spectrum:
    """Spectral features of W epochs; NaN where an epoch is too short or constant.

    Attributes
    ----------
    dominant_hz : (W,) float64
        Frequency with the largest power, zero excluded. Resolution: one over the epoch's length.
    power_share : (W,) float64
        Power there as a share of all, 0 to 1.
    entropy : (W,) float64
        Shannon entropy of the power over the frequencies as a share of its largest value, 0 to 1.
    """

    dominant_hz: Floats
    power_share: Floats
    entropy: Floats


def epoch_spectrum(vm_g: Floats, rate_hz: Floats) -> Spectrum:
    """Return spectral features of each epoch's vector magnitude, mean removed, under a Hann window.

    Parameters
    ----------
    vm_g : (W, n) float64, g
    rate_hz : (W,) float64

    Returns
    -------
    Spectrum

    Examples
    --------
    >>> t = np.arange(100) / 100.0
    >>> epoch_spectrum(1.0 + np.sin(2 * np.pi * 5.0 * t)[None], np.array([100.0])).dominant_hz.tolist()
    [5.0]
    """
    size = vm_g.shape[1]
    nothing = np.full(len(vm_g), np.nan)
    if size < MIN_SAMPLES:
        return Spectrum(nothing, nothing, nothing)
    power = _power(vm_g)
    total = power.sum(axis=1)
    total = np.where(total > MIN_POWER, total, np.nan)
    share = power / total[:, None]
    top = power.argmax(axis=1)
    dominant_hz = np.where(np.isnan(total), np.nan, (top + 1) * rate_hz / size)
    return Spectrum(dominant_hz, share.max(axis=1), _entropy(share))


def _power(vm_g: Floats) -> Floats:
    """Return the power at each frequency above zero, (W, n // 2)."""
    centred = vm_g - (vm_g.sum(axis=1) / vm_g.shape[1])[:, None]
    lines = np.fft.rfft(centred * np.hanning(vm_g.shape[1]), axis=1)[:, 1:]
    return np.ascontiguousarray(lines.real * lines.real + lines.imag * lines.imag)


def _entropy(share: Floats) -> Floats:
    logs = np.log(np.where(share > 0, share, 1.0))
    return np.asarray(-(share * logs).sum(axis=1) / np.log(share.shape[1]))
