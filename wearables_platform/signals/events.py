"""Spike events: sudden movements of 30 ms or more, as in clapping, hopping or a fall; one row each.

Amplitude alone says nothing about the cause: an event is reported with its peak, duration and direction
and is not given a name such as "fall".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CleanParams, CleanSamples, clean
from wearables_platform.signals.motion import vector_magnitude_g
from wearables_platform.signals.samples import Index, SampleTable

SPIKE = "spike"

BLOCK_US = 100_000
"""Span of the block that a `peak_g` describes."""

LEAD_US = 200_000
"""How far before its trigger an event may start: a half sine of 4 g and 300 ms against gravity rises for 60 ms."""

MIN_POSTURE_SAMPLES = 5
"""Fewer samples before an event, at the start of a recording, say nothing of the posture."""


@dataclass(frozen=True)
class SpikeParams:
    """Settings of the spike detector.

    Attributes
    ----------
    trigger_g : float
        Magnitude from which a sample may start an event. A push of 3.3 g straight against gravity leaves 2.3 g.
    spike_threshold_g : float
        Least deviation from the posture before the event. A half sine of 4 g and 30 ms, averaged over 10 ms,
        reaches 3.3 to 3.8 g; brisk walking at the wrist stays below 2 g.
    edge : float
        Share of the top at which an event starts and ends; of a half sine, 8 % of its length from either end.
    min_duration_ms : float
        A shorter deviation is no movement; its width is measured at `GlitchParams.shoulder` of the top.
    max_duration_ms : float
        No event covers more; what lasts longer is cut.
    rest_ms : float
        An event starts after this long without a triggering sample.
    baseline_ms : float
        The posture before an event is the median over this span.
    """

    trigger_g: float = 2.0
    spike_threshold_g: float = 2.5
    edge: float = 0.25
    min_duration_ms: float = 30.0
    max_duration_ms: float = 2000.0
    rest_ms: float = 100.0
    baseline_ms: float = 500.0
    clean: CleanParams = field(default_factory=CleanParams)

    def __post_init__(self) -> None:
        """Refuse spans that outrun the halo of a window."""
        if not (200 < self.max_duration_ms <= 2000 and 0 < self.baseline_ms <= 3000 and 0 < self.rest_ms <= 1000):
            msg = f"spans must be positive; 200 < max_duration_ms <= 2000, baseline_ms <= 3000, rest_ms <= 1000: {self}"
            raise ValueError(msg)


@dataclass(frozen=True)
class EventRows:
    """Events sorted by (device, start_us); all arrays share the first axis E.

    Attributes
    ----------
    device : (E,) int32
    start_us : (E,) int64
        First sample at `SpikeParams.edge` of the top.
    duration_ms : (E,) float64
        Span between both edges, the last sample's period included.
    peak_g : (E,) float64
        Largest vector magnitude, gravity included: of the blocks the event touches where they carry
        `peak_g`, of the cleaned samples elsewhere.
    direction_x, direction_y, direction_z : (E,) float64
        Unit vector of the deviation from the posture before, at the top.
    """

    device: NDArray[np.int32]
    start_us: NDArray[np.int64]
    duration_ms: NDArray[np.float64]
    peak_g: NDArray[np.float64]
    direction_x: NDArray[np.float64]
    direction_y: NDArray[np.float64]
    direction_z: NDArray[np.float64]
    kind: str = SPIKE

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.device)

    def take(self, index: Index) -> EventRows:
        """Return the events that `index` selects."""
        columns = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name != "kind"}
        return EventRows(**columns, kind=self.kind)


@dataclass(frozen=True)
class _Event:
    device: int
    start_us: int
    duration_ms: float
    peak_g: float
    direction: NDArray[np.float64]


def spike_events(samples: SampleTable, params: SpikeParams | None = None) -> EventRows:
    """Return the spike events of any number of devices.

    Parameters
    ----------
    samples : SampleTable
        Sorted by (device, time). Not changed.
    params : SpikeParams, optional

    Returns
    -------
    EventRows

    Notes
    -----
    Whether an event starts at an instant depends on the samples from `rest_ms` + `baseline_ms` before it to
    `max_duration_ms` after it, besides the halo of the cleaning: an event whose start lies in a window is a
    function of the window's samples and halo (`windows.HALO_BEFORE_US`, `windows.HALO_AFTER_US`).
    """
    params = params or SpikeParams()
    samples.require_sorted()
    return events_in(clean(samples, params.clean), params)


def events_in(cleaned: CleanSamples, params: SpikeParams) -> EventRows:
    """Return the spike events in samples already cleaned."""
    found = (_describe(cleaned, at, params) for at in np.flatnonzero(_onsets(cleaned, params)).tolist())
    return _to_rows([event for event in found if event is not None])


def _onsets(cleaned: CleanSamples, params: SpikeParams) -> NDArray[np.bool_]:
    """Mark triggering samples that no other precedes within `rest_ms`, nor in their own segment's rest."""
    table = cleaned.table
    at = np.flatnonzero(cleaned.vm_g >= params.trigger_g)
    fresh = np.ones(len(at), dtype=np.bool_)
    fresh[1:] = (cleaned.segments.first[at[1:]] != cleaned.segments.first[at[:-1]]) | (
        np.diff(table.time_us[at]) > params.rest_ms * 1000
    )
    onset = np.zeros(len(table), dtype=np.bool_)
    onset[at[fresh]] = True
    return onset


def _describe(cleaned: CleanSamples, onset: int, params: SpikeParams) -> _Event | None:
    """Return the event that starts around a trigger, or None if it is too small or too short."""
    low, high = _span(cleaned, onset, params)
    deviation_g = cleaned.accel_g[low:high] - _posture_g(cleaned, onset, params)
    size_g = vector_magnitude_g(deviation_g)
    end = _last_trigger(cleaned, onset, high, params) - low + 1
    top = onset - low + int(size_g[onset - low : end].argmax())
    period_ms = 1000 / float(cleaned.table.rate_hz[onset])
    wide = _stretch(size_g >= params.clean.glitch.shoulder * size_g[top], top)
    if size_g[top] < params.spike_threshold_g or (len(wide) + 0.5) * period_ms < params.min_duration_ms:
        return None
    inside = _stretch(size_g >= params.edge * size_g[top], top)
    first, last = low + inside.start, low + inside.stop - 1
    time_us = cleaned.table.time_us
    return _Event(
        device=int(cleaned.table.device[onset]),
        start_us=int(time_us[first]),
        duration_ms=float(time_us[last] - time_us[first]) / 1000 + period_ms,
        peak_g=_peak_g(cleaned, first, last),
        direction=deviation_g[top] / size_g[top],
    )


def _span(cleaned: CleanSamples, onset: int, params: SpikeParams) -> tuple[int, int]:
    """Return the positions, in the onset's segment, that its event may cover."""
    time_us, first, last = cleaned.table.time_us, cleaned.segments.first[onset], cleaned.segments.last[onset] + 1
    low = np.searchsorted(time_us[first:last], time_us[onset] - LEAD_US)
    high = np.searchsorted(time_us[first:last], time_us[onset] + params.max_duration_ms * 1000 - LEAD_US)
    return int(first + low), int(first + high)


def _posture_g(cleaned: CleanSamples, onset: int, params: SpikeParams) -> NDArray[np.float64]:
    """Return the median acceleration before the onset; without enough samples, one g along the onset's own."""
    time_us, first = cleaned.table.time_us, int(cleaned.segments.first[onset])
    begin = first + int(np.searchsorted(time_us[first:onset], time_us[onset] - params.baseline_ms * 1000))
    if onset - begin < MIN_POSTURE_SAMPLES:
        return np.asarray(cleaned.accel_g[onset] / cleaned.vm_g[onset])
    return np.asarray(np.median(cleaned.accel_g[begin:onset], axis=0))


def _last_trigger(cleaned: CleanSamples, onset: int, high: int, params: SpikeParams) -> int:
    """Return the last triggering sample reached from the onset without a rest."""
    at = onset + np.flatnonzero(cleaned.vm_g[onset:high] >= params.trigger_g)
    rests = np.flatnonzero(np.diff(cleaned.table.time_us[at]) > params.rest_ms * 1000)
    return int(at[rests[0]] if len(rests) else at[-1])


def _stretch(inside: NDArray[np.bool_], centre: int) -> range:
    """Return the unbroken run of positions inside that holds the centre."""
    outside = np.flatnonzero(~inside)
    place = int(np.searchsorted(outside, centre))
    start = int(outside[place - 1]) + 1 if place else 0
    return range(start, int(outside[place]) if place < len(outside) else len(inside))


def _peak_g(cleaned: CleanSamples, first: int, last: int) -> float:
    """Return the largest magnitude of the samples and of the blocks that cover them."""
    table, opening = cleaned.table, int(cleaned.segments.first[first])
    earliest_us = table.time_us[first] - BLOCK_US
    begin = opening + int(np.searchsorted(table.time_us[opening : first + 1], earliest_us, side="right"))
    blocks_g = table.peak_g[begin : last + 1]
    return float(np.nanmax(np.append(blocks_g, cleaned.vm_g[first : last + 1].max())))


def _to_rows(events: Sequence[_Event]) -> EventRows:
    direction = np.array([event.direction for event in events], dtype=np.float64).reshape(-1, 3)
    rows = EventRows(
        device=np.array([event.device for event in events], dtype=np.int32),
        start_us=np.array([event.start_us for event in events], dtype=np.int64),
        duration_ms=np.array([event.duration_ms for event in events], dtype=np.float64),
        peak_g=np.array([event.peak_g for event in events], dtype=np.float64),
        direction_x=direction[:, 0],
        direction_y=direction[:, 1],
        direction_z=direction[:, 2],
    )
    return rows.take(np.lexsort((rows.start_us, rows.device)))
