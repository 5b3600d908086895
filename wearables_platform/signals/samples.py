"""Acceleration samples of many devices as one flat, columnar table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Index = NDArray[np.bool_] | NDArray[np.intp] | NDArray[np.int64] | slice

_DTYPES: dict[str, type[np.generic]] = {
    "device": np.int32,
    "boot": np.int64,
    "segment": np.int32,
    "time_us": np.int64,
    "rate_hz": np.float64,
    "accel_g": np.float32,
    "peak_raw_g": np.float32,
    "peak_g": np.float32,
    "glitches": np.int32,
    "clipped": np.int32,
    "flags": np.int32,
}


@dataclass(frozen=True)
class SampleTable:
    """Samples sorted by (device, boot, segment, time_us); all arrays share the first axis S.

    Samples of one device, boot and segment are a *series*. Series may overlap in time: which of them speaks for a
    window is decided later, by `overlaps`.

    Attributes
    ----------
    device : (S,) int32
        Index chosen by the caller; only equality is looked at.
    boot : (S,) int64
        Opaque; a change breaks continuity.
    segment : (S,) int32
        Counts the jumps of the boot's wall clock; a change breaks continuity.
    time_us : (S,) int64
        Sample time, microseconds since the Unix epoch, UTC.
    rate_hz : (S,) float64
        Nominal rate stated by the carrying message.
    accel_g : (S, 3) float32
        x, y, z in g.
    peak_raw_g, peak_g : (S,) float32
        Largest vector magnitude at the source's rate within a block of 100 ms, before and after the
        source's glitch filter: on the block's first sample, NaN elsewhere and where it was not measured.
    glitches, clipped : (S,) int32
        Source samples replaced by the glitch filter, and at the end of the sensor's range, within a
        block: on the block's first sample, 0 elsewhere.
    flags : (S,) int32
        `QualityFlag` bits known from the message.
    """

    device: NDArray[np.int32]
    boot: NDArray[np.int64]
    segment: NDArray[np.int32]
    time_us: NDArray[np.int64]
    rate_hz: NDArray[np.float64]
    accel_g: NDArray[np.float32]
    peak_raw_g: NDArray[np.float32]
    peak_g: NDArray[np.float32]
    glitches: NDArray[np.int32]
    clipped: NDArray[np.int32]
    flags: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Refuse columns of unequal length or of another dtype."""
        length = len(self.device)
        for name, dtype in _DTYPES.items():
            column = getattr(self, name)
            shape = (length, 3) if name == "accel_g" else (length,)
            if column.shape != shape or column.dtype != dtype:
                msg = f"{name} must be {np.dtype(dtype)} {shape}, got {column.dtype} {column.shape}"
                raise ValueError(msg)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.device)

    @classmethod
    def empty(cls) -> SampleTable:
        """Return a table without samples."""
        return cls.build(device=0, time_us=[], rate_hz=1.0, accel_g=np.empty((0, 3)))

    @classmethod
    def build(
        cls,
        *,
        device: ArrayLike,
        time_us: ArrayLike,
        rate_hz: ArrayLike,
        accel_g: ArrayLike,
        boot: ArrayLike = 0,
        segment: ArrayLike = 0,
        peak_raw_g: ArrayLike = np.nan,
        peak_g: ArrayLike = np.nan,
        glitches: ArrayLike = 0,
        clipped: ArrayLike = 0,
        flags: ArrayLike = 0,
    ) -> SampleTable:
        """Build a table from arrays or scalars (a scalar holds for every sample), as given, unsorted.

        Examples
        --------
        >>> table = SampleTable.build(device=0, time_us=[0, 10_000], rate_hz=100.0, accel_g=[[0, 0, 1]] * 2)
        >>> len(table), float(table.rate_hz[1])
        (2, 100.0)
        """
        given = dict(
            device=device, boot=boot, segment=segment, time_us=time_us, rate_hz=rate_hz, accel_g=accel_g,
            peak_raw_g=peak_raw_g, peak_g=peak_g, glitches=glitches, clipped=clipped, flags=flags,
        )  # fmt: skip
        length = np.asarray(time_us).shape[0]
        return cls(**{name: _column(name, value, length) for name, value in given.items()})

    @classmethod
    def concat(cls, tables: Sequence[SampleTable]) -> SampleTable:
        """Join tables end to end (the caller sorts)."""
        if not tables:
            return cls.empty()
        return cls(**{f.name: np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(cls)})

    def take(self, index: Index) -> SampleTable:
        """Return the samples that `index` (mask, positions or slice) selects."""
        return SampleTable(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def sorted(self) -> SampleTable:
        """Return the samples in (device, boot, segment, time) order; equal stamps keep their order."""
        return self.take(np.lexsort((self.time_us, self.segment, self.boot, self.device)))

    def numbered(self) -> tuple[SampleTable, NDArray[np.int32]]:
        """Return the table with its devices counted 0, 1, 2 ..., and the device that each of these numbers was."""
        opens = np.ones(len(self), dtype=np.bool_)
        opens[1:] = self.device[1:] != self.device[:-1]
        return replace(self, device=(np.cumsum(opens) - 1).astype(np.int32)), self.device[opens]

    def series_starts(self) -> NDArray[np.bool_]:
        """Mark the first sample of each series."""
        starts = np.ones(len(self), dtype=np.bool_)
        starts[1:] = self.device[1:] != self.device[:-1]
        starts[1:] |= self.boot[1:] != self.boot[:-1]
        starts[1:] |= self.segment[1:] != self.segment[:-1]
        return starts

    def is_sorted(self) -> bool:
        """Tell whether the samples are in (device, boot, segment, time) order."""
        starts = self.series_starts()
        if np.any((self.time_us[1:] < self.time_us[:-1]) & ~starts[1:]):
            return False
        first = np.flatnonzero(starts)
        keys = np.stack((self.device[first], self.boot[first], self.segment[first]))
        return bool(np.array_equal(np.lexsort(keys[::-1]), np.arange(len(first))))

    def require_sorted(self) -> None:
        """Raise `ValueError` unless the samples are in (device, boot, segment, time) order."""
        if not self.is_sorted():
            msg = "samples must be sorted by (device, boot, segment, time_us)"
            raise ValueError(msg)


def _column(name: str, value: ArrayLike, length: int) -> NDArray[Any]:
    shape = (length, 3) if name == "accel_g" else (length,)
    return np.ascontiguousarray(np.broadcast_to(np.asarray(value, dtype=_DTYPES[name]), shape))
