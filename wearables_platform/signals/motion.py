"""Movement intensity: vector magnitude, ENMO, MAD, tilt and jerk.

Functions of samples are elementwise. Functions of epochs take (W, n) arrays, one epoch a row, and
reduce over axis 1 only, so that a row's bits do not depend on the other rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STANDARD_GRAVITY_M_S2 = 9.80665
"""Metres per second squared in one g (exact by definition)."""


def vector_magnitude_g(accel_g: Floats) -> Floats:
    """Return sqrt(x^2 + y^2 + z^2).

    Parameters
    ----------
    accel_g : (..., 3) float64, g

    Returns
    -------
    (...) float64, g

    Examples
    --------
    >>> vector_magnitude_g(np.array([[3.0, 0.0, 4.0]])).tolist()
    [5.0]
    """
    x, y, z = accel_g[..., 0], accel_g[..., 1], accel_g[..., 2]
    return np.asarray(np.sqrt(x * x + y * y + z * z))


def every_axis(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where all three of (S, 3) marks are set; a reduction over three elements costs ten times as much."""
    return np.asarray(marks[:, 0] & marks[:, 1] & marks[:, 2])


def any_axis(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where any of (S, 3) marks is set."""
    return np.asarray(marks[:, 0] | marks[:, 1] | marks[:, 2])


def row_mean(values: Floats) -> Floats:
    """Return the mean of each row of a (W, n) array."""
    return np.asarray(values.sum(axis=1) / values.shape[1])


def enmo_mg(vm_g: Floats) -> Floats:
    """Return the Euclidean norm minus one g, negative values set to zero, averaged over each epoch.

    Parameters
    ----------
    vm_g : (W, n) float64, g

    Returns
    -------
    (W,) float64, milli-g

    References
    ----------
    V. T. van Hees et al., PLoS ONE 8 (2013) e61691.

    Examples
    --------
    >>> enmo_mg(np.array([[1.5, 0.5]])).tolist()
    [250.0]
    """
    return 1000.0 * row_mean(np.maximum(vm_g - 1.0, 0.0))


def mad_mg(vm_g: Floats) -> Floats:
    """Return the mean absolute deviation of the vector magnitude from its mean in each epoch.

    Parameters
    ----------
    vm_g : (W, n) float64, g

    Returns
    -------
    (W,) float64, milli-g

    References
    ----------
    H. Vaha-Ypya et al., Clin. Physiol. Funct. Imaging 35 (2015) 64-70.

    Examples
    --------
    >>> mad_mg(np.array([[1.5, 0.5]])).tolist()
    [500.0]
    """
    return 1000.0 * row_mean(np.abs(vm_g - row_mean(vm_g)[:, None]))


def angle_z_deg(gravity_g: Floats) -> Floats:
    """Return the elevation of the z axis above the horizontal plane.

    Parameters
    ----------
    gravity_g : (W, 3) float64, g
        What each epoch has for gravity: the median of each axis, which a short movement does not tilt.

    Returns
    -------
    (W,) float64, degrees, -90 to 90

    References
    ----------
    V. T. van Hees et al., PLoS ONE 10 (2015) e0142533.

    Examples
    --------
    >>> angle_z_deg(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])).tolist()
    [90.0, 0.0]
    """
    x, y, z = gravity_g[:, 0], gravity_g[:, 1], gravity_g[:, 2]
    return np.asarray(np.degrees(np.arctan2(z, np.sqrt(x * x + y * y))))


def pitch_deg(gravity_g: Floats) -> Floats:
    """Return the elevation of the x axis above the horizontal plane.

    Parameters
    ----------
    gravity_g : (W, 3) float64, g
        As for `angle_z_deg`. At rest an axis that points up reads +1 g.

    Returns
    -------
    (W,) float64, degrees, -90 to 90

    Examples
    --------
    >>> pitch_deg(np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 1.0]])).tolist()
    [90.0, -45.0]
    """
    x, y, z = gravity_g[:, 0], gravity_g[:, 1], gravity_g[:, 2]
    return np.asarray(np.degrees(np.arctan2(x, np.sqrt(y * y + z * z))))


def roll_deg(gravity_g: Floats) -> Floats:
    """Return the rotation about the x axis: 0 with z up, 90 with y up, 180 with z down.

    Parameters
    ----------
    gravity_g : (W, 3) float64, g
        As for `angle_z_deg`. Where x is vertical the rotation is of noise alone.

    Returns
    -------
    (W,) float64, degrees, -180 to 180

    Examples
    --------
    >>> roll_deg(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])).tolist()
    [0.0, 90.0, 180.0]
    """
    return np.asarray(np.degrees(np.arctan2(gravity_g[:, 1], gravity_g[:, 2])))


def jerk_g_s(accel_g: Floats, rate_hz: NDArray[np.float64], breaks: NDArray[np.bool_]) -> Floats:
    """Return the magnitude of the change of acceleration per second.

    Parameters
    ----------
    accel_g : (S, 3) float64, g
    rate_hz : (S,) float64
        The nominal rate stands for the step in time: stamps repeat, periods do not.
    breaks : (S,) bool
        Samples that do not continue the one before.

    Returns
    -------
    (S,) float64, g/s; NaN at breaks.
    """
    jerk = np.full(len(accel_g), np.nan)
    jerk[1:] = vector_magnitude_g(accel_g[1:] - accel_g[:-1]) * rate_hz[1:]
    jerk[breaks] = np.nan
    return jerk
