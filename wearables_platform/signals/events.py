"""Spike events: sudden movements of 30 ms or more, as in clapping, hopping or a fall; one row each.

Amplitude alone says nothing about the cause: an event is reported with its peak, duration and direction
and is not given a name such as "fall".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CleanParams, CleanSamples, clean
from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.features import row_gravity_g
from wearables_platform.signals.overlaps import Seconds, always, into_seconds
from wearables_platform.signals.samples import Index, SampleTable
from wearables_platform.signals.walk import nothing_before, postures_before

SPIKE = "spike"

BLOCK_US = 100_000
"""Span of the block that a `peak_g` describes."""

LEAD_US = 200_000
"""How far before its trigger an event may start: a half sine of 4 g and 300 ms against gravity rises for 60 ms."""

ONSET_DTYPE: Final = np.dtype(
    [
        ("device", np.int32),
        ("segment", np.int32),
        ("boot", np.int64),
        ("time_us", np.int64),
        ("posture_g", np.float32, (3,)),  # NaN: not known
    ]
)
"""A sample that starts an event, if what follows makes it one."""


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
    """

    trigger_g: float = 2.0
    spike_threshold_g: float = 2.5
    edge: float = 0.25
    min_duration_ms: float = 30.0
    max_duration_ms: float = 2000.0
    rest_ms: float = 100.0
    clean: CleanParams = field(default_factory=CleanParams)

    def __post_init__(self) -> None:
        """Refuse spans that outrun the halo of a window."""
        if not (200 < self.max_duration_ms <= 2000 and 0 < self.rest_ms <= LEAD_US / 1000):
            msg = f"200 < max_duration_ms <= 2000 and 0 < rest_ms <= 200 must hold: {self}"
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

    @classmethod
    def concat(cls, parts: Sequence[EventRows]) -> EventRows:
        """Join rows end to end."""
        names = [f.name for f in fields(cls) if f.name != "kind"]
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in (no_events(), *parts)]) for name in names
        }
        return cls(**joined)


def spike_events(samples: SampleTable, params: SpikeParams | None = None) -> EventRows:
    """Return the spike events of any number of devices.

    Parameters
    ----------
    samples : SampleTable
        Sorted by (device, boot, segment, time). Not changed.
    params : SpikeParams, optional

    Returns
    -------
    EventRows

    Notes
    -----
    An event whose start lies in a window is a function of the window's samples and halo (`windows.HALO_BEFORE_US`,
    `windows.HALO_AFTER_US`).
    """
    params = params or SpikeParams()
    samples.require_sorted()
    table, devices = samples.numbered()
    cleaned = clean(table, params.clean)
    seconds = into_seconds(cleaned.table, always(len(devices)))
    gravity_g = np.full((len(seconds), 3), np.nan)
    for rows, index in seconds.by_count():
        gravity_g[rows] = row_gravity_g(*(cleaned.accel_g[index, axis] for axis in range(3)))
    posture_g = postures_before(nothing_before(len(devices)), seconds, gravity_g)
    events = describe_events(cleaned, find_onsets(cleaned, seconds, posture_g, params), params)
    return replace(events, device=devices[events.device])


def find_onsets(
    cleaned: CleanSamples, seconds: Seconds, posture_g: NDArray[np.float32], params: SpikeParams
) -> NDArray[np.void]:
    """Return the triggering samples that no other of their run precedes within `rest_ms`, of those that speak.

    Parameters
    ----------
    cleaned : CleanSamples
    seconds : Seconds
        The windows asked for; `cleaned` reaches back from them by `LEAD_US`.
    posture_g : (R, 3) float32
        From `postures_before`: the posture before an event is the median of the UTC second before its onset's.

    Returns
    -------
    (O,) ONSET_DTYPE
    """
    table = cleaned.table
    at = np.flatnonzero(cleaned.vm_g >= params.trigger_g)
    fresh = np.ones(len(at), dtype=np.bool_)
    fresh[1:] = (cleaned.segments.first[at[1:]] != cleaned.segments.first[at[:-1]]) | (
        np.diff(table.time_us[at]) > params.rest_ms * 1000
    )
    at = at[fresh]
    if not len(at):
        return np.zeros(0, ONSET_DTYPE)
    row_of = np.full(len(table), -1)
    row_of[seconds.index] = np.repeat(np.arange(len(seconds)), seconds.counts)
    at = at[row_of[at] >= 0]
    onsets = np.zeros(len(at), ONSET_DTYPE)
    for name in ("device", "boot", "segment", "time_us"):
        onsets[name] = getattr(table, name)[at]
    onsets["posture_g"] = posture_g[row_of[at]]
    return onsets


def describe_events(cleaned: CleanSamples, onsets: NDArray[np.void], params: SpikeParams) -> EventRows:
    """Return the events that start at the onsets; too small or too short ones are none.

    Notes
    -----
    An event depends on the samples of its series from `LEAD_US` before its onset to `max_duration_ms` less that after
    it, besides the halo of the cleaning, and on its onset's posture.
    """
    table = cleaned.table
    found = np.zeros(len(onsets), dtype=np.bool_)
    start_us = np.zeros(len(onsets), dtype=np.int64)
    numbers = np.zeros((len(onsets), 5))
    glitch = params.clean.glitch
    _describe(
        plain(*(onsets[name] for name in ("device", "boot", "segment", "time_us", "posture_g"))),
        plain(table.device, table.boot, table.segment, table.time_us, table.rate_hz, table.peak_g),
        plain(cleaned.accel_g, cleaned.vm_g, cleaned.segments.first, cleaned.segments.last),
        (params.trigger_g, params.spike_threshold_g, params.edge, glitch.shoulder, params.min_duration_ms),
        (params.max_duration_ms * 1000, params.rest_ms * 1000),
        (found, start_us, numbers),
    )
    rows = _event_rows(onsets["device"][found], start_us[found], numbers[found])
    return rows.take(np.lexsort((rows.start_us, rows.device)))


def no_events() -> EventRows:
    """Return no rows."""
    return _event_rows(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros((0, 5)))


def _event_rows(device: NDArray[np.int32], start_us: NDArray[np.int64], numbers: NDArray[np.float64]) -> EventRows:
    duration_ms, peak_g, x, y, z = np.ascontiguousarray(numbers.T)
    return EventRows(device, start_us, duration_ms, peak_g, x, y, z)


@compiled
def _position(wanted: Any, device: Any, boot: Any, segment: Any, time_us: Any) -> int:
    """Return the first sample not before (device, boot, segment, time) in that order."""
    low, high = 0, len(device)
    while low < high:
        middle = (low + high) // 2
        if (device[middle], boot[middle], segment[middle], time_us[middle]) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _describe(  # noqa: C901 (one compiled loop)
    onsets: Any, table: Any, clean: Any, levels: Any, spans_us: Any, out: Any
) -> None:
    device, boot, segment, onset_us, posture_g = onsets
    at_device, at_boot, at_segment, time_us, rate_hz, block_peak_g = table
    accel_g, vm_g, run_first, run_last = clean
    trigger_g, threshold_g, edge, shoulder, min_duration_ms = levels
    longest_us, rest_us = spans_us
    found, start_us, numbers = out
    for number in range(len(device)):
        wanted = (device[number], boot[number], segment[number], onset_us[number])
        onset = _position(wanted, at_device, at_boot, at_segment, time_us)
        while vm_g[onset] < trigger_g:  # of equal stamps, the one that triggered
            onset += 1
        low, high = onset, onset + 1
        while low > run_first[onset] and time_us[low - 1] >= time_us[onset] - LEAD_US:
            low -= 1
        while high <= run_last[onset] and time_us[high] < time_us[onset] + longest_us - LEAD_US:
            high += 1
        posture = posture_g[number].astype(np.float64)
        if np.isnan(posture[0]):  # one g along the onset's own direction
            posture = accel_g[onset] / vm_g[onset]
        px, py, pz = posture[0], posture[1], posture[2]
        size_g = np.empty(high - low)
        for k in range(low, high):
            dx, dy, dz = accel_g[k, 0] - px, accel_g[k, 1] - py, accel_g[k, 2] - pz
            size_g[k - low] = np.sqrt(dx * dx + dy * dy + dz * dz)
        end = onset
        for k in range(onset + 1, high):
            if vm_g[k] >= trigger_g:
                if time_us[k] - time_us[end] > rest_us:
                    break
                end = k
        top = onset
        for k in range(onset + 1, end + 1):
            if size_g[k - low] > size_g[top - low]:
                top = k
        top_g, period_ms = size_g[top - low], 1000.0 / rate_hz[onset]
        first, last = top, top
        while first > low and size_g[first - 1 - low] >= shoulder * top_g:
            first -= 1
        while last < high - 1 and size_g[last + 1 - low] >= shoulder * top_g:
            last += 1
        if top_g < threshold_g or (last - first + 1.5) * period_ms < min_duration_ms:
            continue
        first, last = top, top
        while first > low and size_g[first - 1 - low] >= edge * top_g:
            first -= 1
        while last < high - 1 and size_g[last + 1 - low] >= edge * top_g:
            last += 1
        peak_g = 0.0
        for k in range(first, last + 1):
            peak_g = max(peak_g, vm_g[k])
        k = last
        while k >= run_first[onset] and time_us[k] > time_us[first] - BLOCK_US:
            if block_peak_g[k] > peak_g:
                peak_g = np.float64(block_peak_g[k])
            k -= 1
        found[number], start_us[number] = True, time_us[first]
        numbers[number, 0] = (time_us[last] - time_us[first]) / 1000.0 + period_ms
        numbers[number, 1] = peak_g
        numbers[number, 2] = (accel_g[top, 0] - px) / top_g
        numbers[number, 3] = (accel_g[top, 1] - py) / top_g
        numbers[number, 4] = (accel_g[top, 2] - pz) / top_g
