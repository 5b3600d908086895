"""Reduction to a lower rate by a whole factor: block mean, FIR filter, and scipy's reference.

A block mean is cheap and exact, and a poor anti-alias filter: at 16 kHz to 100 Hz it passes 20 Hz at
-0.6 dB and folds 80 Hz onto 20 Hz at -12.6 dB. The FIR filter rejects what would fold onto the pass band by
60 dB at about a fifth of the speed.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.compiled import kept

ALIAS_REJECTION_DB = 65.0
"""Design goal of the FIR filter; 60 dB are promised, the margin covers the Kaiser formula's error."""

PASS_SHARE, STOP_SHARE = 0.4, 0.6
"""Edges of the FIR filter as shares of the output rate: 40 and 60 Hz at 100 Hz. What lies above the stop edge
folds below 40 Hz; between the edges it folds onto the transition band, above all human motion."""


def block_mean(accel_g: NDArray[np.floating[Any]], factor: int) -> NDArray[np.float64]:
    """Return the means of `factor` consecutive samples.

    Parameters
    ----------
    accel_g : (D, n * factor, 3) float, g
    factor : int

    Returns
    -------
    (D, n, 3) float64, g

    Notes
    -----
    Accumulated in float64 by folding the block in halves, as long as it has halves, and then in order: a block's bits
    depend neither on its neighbours nor on the machine, and both steps vectorise.

    Examples
    --------
    >>> block_mean(np.array([[[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]]), 2).tolist()
    [[[2.0, 0.0, 0.0]]]
    """
    devices, samples, axes = accel_g.shape
    blocks = np.ascontiguousarray(accel_g).reshape(devices, samples // factor, factor * axes)
    mean_g = np.empty((devices, samples // factor, axes))
    _fold(blocks.reshape(-1, factor * axes), factor, mean_g.reshape(-1, axes))
    return mean_g


@partial(kept, nogil=True)
def _fold(blocks, factor, mean_g):  # type: ignore[no-untyped-def]
    axes = mean_g.shape[1]
    folded = np.empty(factor * axes)
    for number in range(len(blocks)):
        block, size = blocks[number], factor
        for i in range(len(folded)):
            folded[i] = block[i]
        while size % 2 == 0:
            size //= 2
            lower, upper = folded[: size * axes], folded[size * axes : 2 * size * axes]
            for i in range(len(lower)):
                lower[i] += upper[i]
        for position in range(1, size):
            for axis in range(axes):
                folded[axis] += folded[position * axes + axis]
        for axis in range(axes):
            mean_g[number, axis] = folded[axis] / factor


def fir_reach(factor: int) -> int:
    """Return how many blocks on either side of its own the FIR filter needs."""
    return (len(fir_taps(factor)) // factor - 1) // 2


@cache
def fir_taps(factor: int) -> NDArray[np.float64]:
    """Return the taps of the anti-alias filter: symmetric, unit gain, an odd number of blocks long.

    Its middle is the middle of a block, so that an output belongs to the same instant as a block mean.
    """
    # Here and not above: scipy.signal takes a second to import, and most processes never design a filter.
    from scipy.signal import firwin, kaiserord

    length, beta = kaiserord(ALIAS_REJECTION_DB, (STOP_SHARE - PASS_SHARE) * 2 / factor)
    blocks = -(-length // factor) | 1
    cutoff = (PASS_SHARE + STOP_SHARE) / factor
    taps = np.asarray(firwin(blocks * factor, cutoff, window=("kaiser", beta)), dtype=np.float64)
    taps.setflags(write=False)
    return taps


@cache
def _fir_matrix(factor: int) -> NDArray[np.float32]:
    """Return the taps as a matrix from one block (factor * 3) to its shares in all outputs (blocks * 3)."""
    segments = fir_taps(factor)[::-1].reshape(-1, factor)
    matrix = np.zeros((factor, 3, len(segments), 3), dtype=np.float32)
    for axis in range(3):
        matrix[:, axis, :, axis] = segments.T
    return matrix.reshape(factor * 3, -1)


def fir_decimate(accel_g: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Filter and decimate; the first and the last `fir_reach` blocks are context and yield no output.

    Parameters
    ----------
    accel_g : (D, (n + 2 * fir_reach(factor)) * factor, 3) float32, g
    factor : int

    Returns
    -------
    (D, n, 3) float32, g

    Notes
    -----
    One matrix product for all blocks, then a sum over shifted blocks: 1.6 GB/s and more on one core. The
    product's last bits may depend on how many blocks it has; rows that promise equal bits use `block_mean`.
    """
    devices, samples, _ = accel_g.shape
    blocks, reach = samples // factor, fir_reach(factor)
    size = blocks - 2 * reach
    shares = (np.ascontiguousarray(accel_g).reshape(-1, factor * 3) @ _fir_matrix(factor)).reshape(devices, blocks, -1)
    out = np.zeros((devices, size, 3), dtype=np.float32)
    for shift in range(2 * reach + 1):
        out += shares[:, shift : shift + size, 3 * shift : 3 * shift + 3]
    return out


def resample_reference(accel_g: NDArray[np.floating[Any]], factor: int) -> NDArray[np.float64]:
    """Return `scipy.signal.resample_poly` of whole recordings, the reference the others are compared with.

    Parameters
    ----------
    accel_g : (..., N, 3) float, g

    Returns
    -------
    (..., ceil(N / factor), 3) float64, g
        The output m belongs to the instant of sample m * factor: half a block before a block mean's.
    """
    from scipy.signal import resample_poly

    return np.asarray(resample_poly(accel_g.astype(np.float64), 1, factor, axis=-2, padtype="line"))
