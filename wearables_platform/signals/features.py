"""Columns of a window row, and how each is reduced from the samples of one window.

Every function takes (W, n) arrays: W windows with exactly n samples. Nothing is padded, so a row's bits
do not depend on which windows it is computed with.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.motion import angle_z_deg, enmo_mg, mad_mg, pitch_deg, roll_deg, row_mean
from wearables_platform.signals.spectrum import epoch_spectrum

Floats = NDArray[np.float64]
Column = NDArray[np.float64] | NDArray[np.int32]


@dataclass(frozen=True)
class FeatureColumn:
    """One column of a window row: name, UCUM-like unit ("1" has none), dtype, meaning."""

    name: str
    unit: str
    dtype: str
    description: str


def _real(name: str, unit: str, description: str) -> FeatureColumn:
    return FeatureColumn(name, unit, "float64", description)


def _count(name: str, unit: str, description: str) -> FeatureColumn:
    return FeatureColumn(name, unit, "int32", description)


FEATURE_COLUMNS: tuple[FeatureColumn, ...] = (
    _count("n_samples", "{samples}", "finite samples in the window"),
    _real("rate_hz", "Hz", "nominal rate of the window's first sample"),
    _real("coverage", "1", "samples present as a share of samples expected, at most 1"),
    _real("vm_mean_g", "g", "mean vector magnitude after cleaning"),
    _real("vm_std_g", "g", "standard deviation of the vector magnitude (population)"),
    _real("vm_min_g", "g", "smallest vector magnitude"),
    _real("vm_max_g", "g", "largest vector magnitude"),
    _real("vm_p95_g", "g", "95th percentile of the vector magnitude, linear between ranks"),
    _real("enmo_mg", "m[g]", "mean of max(VM - 1 g, 0) after cleaning"),
    _real("mad_mg", "m[g]", "mean absolute deviation of VM from its mean after cleaning"),
    _real("x_mean_g", "g", "mean of x after cleaning"),
    _real("y_mean_g", "g", "mean of y after cleaning"),
    _real("z_mean_g", "g", "mean of z after cleaning"),
    _real("x_std_g", "g", "standard deviation of x (population)"),
    _real("y_std_g", "g", "standard deviation of y (population)"),
    _real("z_std_g", "g", "standard deviation of z (population)"),
    _real("angle_z_deg", "deg", "elevation of the z axis above the horizontal, from the per-axis median"),
    _real("pitch_deg", "deg", "elevation of the x axis above the horizontal, from the per-axis median"),
    _real("roll_deg", "deg", "rotation about the x axis, 0 with z up and 90 with y up, from the per-axis median"),
    _real("jerk_rms_g_s", "g/s", "root mean square of the change of acceleration per second; NaN without neighbours"),
    _real("dominant_hz", "Hz", "frequency with the largest power of VM, zero excluded; NaN if constant or too short"),
    _real("dominant_power_share", "1", "power at that frequency as a share of all"),
    _real("spectral_entropy", "1", "entropy of the power over the frequencies, 0 (one tone) to 1 (noise)"),
    _count("zero_crossings", "{crossings}", "sign changes of VM minus its mean"),
    _count("peaks", "{peaks}", "local maxima of VM at least 0.1 g over the window's mean"),
    _count("steps", "{steps}", "steps whose instant lies in the window"),
    _count("glitches", "{samples}", "samples replaced by the glitch filter, at the source and here"),
    _count("clipped", "{samples}", "samples at the end of the sensor's range, at the source and here"),
    _real("peak_raw_g", "g", "largest VM at the source's rate before its glitch filter; NaN if not measured"),
    _real("peak_g", "g", "largest VM at the source's rate after its glitch filter; NaN if not measured"),
    _count("flags", "{bits}", "QualityFlag bits"),
)

GRAVITY = "gravity_g"
"""Beside the columns, `epoch_features` gives the (W, 3) medians of the axes: the posture that the next second's events
are seen against."""

PEAK_OVER_MEAN_G = 0.1
"""A local maximum counts from here: ten times the noise of a wrist sensor at rest."""


@dataclass(frozen=True)
class SampleSeries:
    """Cleaned samples and what each owes to its neighbours: flat (S,), or gathered to (W, n) epochs.

    Attributes
    ----------
    x_g, y_g, z_g, vm_g : cleaned acceleration and its magnitude
    jerk_g_s : NaN where a sample does not continue the one before
    local_maximum : above the sample before, not below the next
    rate_hz : nominal rate
    """

    x_g: Floats
    y_g: Floats
    z_g: Floats
    vm_g: Floats
    jerk_g_s: Floats
    local_maximum: NDArray[np.bool_]
    rate_hz: Floats

    def gather(self, index: NDArray[np.intp]) -> SampleSeries:
        """Return the samples at (W, n) positions."""
        return SampleSeries(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def epoch_features(epoch: SampleSeries) -> dict[str, Column]:
    """Return the columns that cleaned samples decide, one value per window."""
    return {
        **_magnitude(epoch.vm_g),
        **_axes(epoch),
        "jerk_rms_g_s": _root_mean_square(epoch.jerk_g_s),
        **_frequencies(epoch),
        **_extrema(epoch),
    }


def _magnitude(vm_g: Floats) -> dict[str, Column]:
    return {
        "vm_mean_g": row_mean(vm_g),
        "vm_std_g": row_std(vm_g),
        "vm_min_g": vm_g.min(axis=1),
        "vm_max_g": vm_g.max(axis=1),
        "vm_p95_g": row_percentile(vm_g, 0.95),
        "enmo_mg": enmo_mg(vm_g),
        "mad_mg": mad_mg(vm_g),
    }


def _axes(epoch: SampleSeries) -> dict[str, Column]:
    axes = {"x": epoch.x_g, "y": epoch.y_g, "z": epoch.z_g}
    gravity_g = row_gravity_g(*axes.values())
    return {
        **{f"{name}_mean_g": row_mean(values) for name, values in axes.items()},
        **{f"{name}_std_g": row_std(values) for name, values in axes.items()},
        "angle_z_deg": angle_z_deg(gravity_g),
        "pitch_deg": pitch_deg(gravity_g),
        "roll_deg": roll_deg(gravity_g),
        GRAVITY: gravity_g,
    }


def _frequencies(epoch: SampleSeries) -> dict[str, Column]:
    spectrum = epoch_spectrum(epoch.vm_g, epoch.rate_hz[:, 0])
    return {
        "dominant_hz": spectrum.dominant_hz,
        "dominant_power_share": spectrum.power_share,
        "spectral_entropy": spectrum.entropy,
    }


def _extrema(epoch: SampleSeries) -> dict[str, Column]:
    over = epoch.vm_g - row_mean(epoch.vm_g)[:, None]
    above = over > 0
    return {
        "zero_crossings": (above[:, 1:] != above[:, :-1]).sum(axis=1).astype(np.int32),
        "peaks": (epoch.local_maximum & (over >= PEAK_OVER_MEAN_G)).sum(axis=1).astype(np.int32),
    }


def row_gravity_g(x_g: Floats, y_g: Floats, z_g: Floats) -> Floats:
    """Return (W, 3) medians of the axes: what each epoch has for gravity."""
    return np.column_stack([row_percentile(values, 0.5) for values in (x_g, y_g, z_g)])


def row_std(values: Floats) -> Floats:
    """Return the population standard deviation of each row, in two passes."""
    centred = values - row_mean(values)[:, None]
    return np.asarray(np.sqrt(row_mean(centred * centred)))


def row_percentile(values: Floats, share: float) -> Floats:
    """Return a percentile of each row, linear between the two nearest ranks (numpy's default).

    Examples
    --------
    >>> row_percentile(np.array([[4.0, 1.0, 3.0, 2.0]]), 0.5).tolist()
    [2.5]
    """
    ranked = np.sort(values, axis=1)
    place = share * (values.shape[1] - 1)
    low = int(place)
    high = min(low + 1, values.shape[1] - 1)
    return np.asarray(ranked[:, low] + (ranked[:, high] - ranked[:, low]) * (place - low))


def _root_mean_square(values: Floats) -> Floats:
    """Return the root mean square of each row's numbers, NaN where it has none."""
    known = ~np.isnan(values)
    squares = np.where(known, values, 0.0) ** 2
    count = known.sum(axis=1)
    return np.asarray(np.sqrt(squares.sum(axis=1) / np.where(count, count, np.nan)))
