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
from wearables_platform.signals.limits import DeviceLimits
from wearables_platform.signals.overlaps import WINDOW_US, Seconds, always, into_seconds
from wearables_platform.signals.samples import Index, SampleTable
from wearables_platform.signals.walk import MIN_POSTURE_SAMPLES, nothing_before, postures_before

SPIKE = "spike"

BLOCK_US = 100_000
"""Span of the block that a `peak_g` describes."""

LEAD_US = 200_000
"""How far before its trigger an event may start: a half sine of 4 g and 300 ms against gravity rises for 60 ms."""

AFTER_US: Final = 500_000
"""The posture after an event is one g along the median of so much at the end of the span it may look at."""

LEAST_POSTURE_G: Final = 0.5
"""A median smaller than this has no direction to speak of."""

MOST_AFTER: Final = 200
"""So many samples say enough of a posture."""

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
        Least deviation from the postures before and after the event. A half sine of 4 g and 30 ms, averaged over 10 ms,
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

    Notes
    -----
    Events of a series do not overlap.
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


def describe_events(
    cleaned: CleanSamples, onsets: NDArray[np.void], params: SpikeParams, limits: DeviceLimits | None = None
) -> EventRows:
    """Return the events that start at the onsets; too small or too short ones are none.

    Notes
    -----
    Where an arm merely turns, the deviation from the posture before stays; so a sample deviates by its distance from
    the nearer of the postures before and after. Of two triggers further apart than `rest_ms` each has its own event,
    and the calmest sample between them parts the two.

    With `limits` an event must also reach what they say of its device in the window it starts in; they can only ask for
    more than `params` does, never for less.

    An event depends on the samples of its series from `LEAD_US` before its onset to `max_duration_ms` less that after
    it, besides the halo of the cleaning, and on its onset's posture.
    """
    table = cleaned.table
    found = np.zeros(len(onsets), dtype=np.bool_)
    start_us = np.zeros(len(onsets), dtype=np.int64)
    numbers, deviation_g = np.zeros((len(onsets), 5)), np.zeros(len(onsets))
    glitch = params.clean.glitch
    _describe(
        plain(*(onsets[name] for name in ("device", "boot", "segment", "time_us", "posture_g"))),
        plain(table.device, table.boot, table.segment, table.time_us, table.rate_hz, table.peak_g),
        plain(cleaned.accel_g, cleaned.vm_g, cleaned.segments.first, cleaned.segments.last),
        (params.trigger_g, params.spike_threshold_g, params.edge, glitch.shoulder, params.min_duration_ms),
        (params.max_duration_ms * 1000, params.rest_ms * 1000),
        (found, start_us, numbers, deviation_g),
    )
    if limits is not None and found.any():
        window_us = start_us[found] // WINDOW_US * WINDOW_US
        least_g = limits.spike_threshold_g(onsets["device"][found], window_us)
        found[found] = deviation_g[found] >= least_g
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
def _lead(run_first: Any, time_us: Any, onset: int) -> int:
    """Return the earliest sample at which the event of an onset may start, but for triggers before it."""
    low = onset
    while low > run_first[onset] and time_us[low - 1] >= time_us[onset] - LEAD_US:
        low -= 1
    return low


@compiled
def _parted(vm_g: Any, trigger: int, onset: int) -> int:
    """Return where the event of an onset begins that another's last trigger precedes: where it is calmest between."""
    calmest = trigger + 1
    for k in range(trigger + 1, onset):
        if vm_g[k] < vm_g[calmest]:
            calmest = k
    return calmest


@compiled
def _search(clean: Any, time_us: Any, onset: int, trigger_g: float, spans_us: Any) -> tuple[int, int, int]:
    """Return the samples [low, high) that are this event's alone, and the last trigger of its run."""
    _, vm_g, run_first, run_last = clean
    longest_us, rest_us = spans_us
    low = _lead(run_first, time_us, onset)
    for k in range(onset - 1, low - 1, -1):
        if vm_g[k] >= trigger_g:
            low = _parted(vm_g, k, onset)
            break
    end, high = onset, onset + 1
    while high <= run_last[onset] and time_us[high] < time_us[onset] + longest_us - LEAD_US:
        if vm_g[high] >= trigger_g:
            if time_us[high] - time_us[end] > rest_us:  # another event's onset
                first = _lead(run_first, time_us, high)
                high = _parted(vm_g, end, high) if end >= first else first
                break
            end = high
        high += 1
    return low, high, end


@compiled
def _posture_after(clean: Any, time_us: Any, onset: int, longest_us: float, ordered: Any, posture: Any) -> None:
    """Find one g along the median of the end of the span that an event may look at; NaN: there is no saying."""
    accel_g, _, _, run_last = clean
    to_us = time_us[onset] + longest_us - LEAD_US
    begin = onset
    while begin <= run_last[onset] and time_us[begin] < to_us - AFTER_US:
        begin += 1
    for axis in range(3):
        count = 0
        while begin + count <= run_last[onset] and time_us[begin + count] < to_us and count < len(ordered):
            value, place = accel_g[begin + count, axis], count
            while place > 0 and ordered[place - 1] > value:
                ordered[place] = ordered[place - 1]
                place -= 1
            ordered[place] = value
            count += 1
        posture[axis] = ordered[count // 2] if count >= MIN_POSTURE_SAMPLES else np.nan
    size_g = np.sqrt(posture[0] ** 2 + posture[1] ** 2 + posture[2] ** 2)
    for axis in range(3):  # an arm that moves on has a median of more than 1 g, and of less: its direction is asked for
        posture[axis] = posture[axis] / size_g if size_g >= LEAST_POSTURE_G else np.nan


@compiled
def _distance_g(accel_g: Any, at: int, posture: Any) -> float:
    x, y, z = accel_g[at, 0] - posture[0], accel_g[at, 1] - posture[1], accel_g[at, 2] - posture[2]
    return float(np.sqrt(x * x + y * y + z * z))


@compiled
def _extent(size_g: Any, top: int, share: float) -> tuple[int, int]:
    """Return the first and the last sample in a row with the top that reach a share of it."""
    first, last = top, top
    while first > 0 and size_g[first - 1] >= share * size_g[top]:
        first -= 1
    while last < len(size_g) - 1 and size_g[last + 1] >= share * size_g[top]:
        last += 1
    return first, last


@compiled
def _sizes_g(accel_g: Any, low: int, high: int, before: Any, after: Any) -> Any:
    """Return how far the samples lie from the nearer of both postures; `after` may be NaN: not known."""
    size_g = np.empty(high - low)
    for k in range(low, high):
        size_g[k - low] = _distance_g(accel_g, k, before)
        from_after_g = _distance_g(accel_g, k, after)
        if from_after_g < size_g[k - low]:
            size_g[k - low] = from_after_g
    return size_g


@compiled
def _largest_g(vm_g: Any, block_peak_g: Any, time_us: Any, spans: Any) -> float:
    """Return the largest magnitude of an event, that of the blocks it touches included."""
    run_first, first, last = spans
    peak_g = 0.0
    for k in range(first, last + 1):
        peak_g = max(peak_g, vm_g[k])
    k = last
    while k >= run_first and time_us[k] > time_us[first] - BLOCK_US:
        if block_peak_g[k] > peak_g:
            peak_g = np.float64(block_peak_g[k])
        k -= 1
    return float(peak_g)


@compiled
def _describe(onsets: Any, table: Any, clean: Any, levels: Any, spans_us: Any, out: Any) -> None:
    device, boot, segment, onset_us, posture_g = onsets
    at_device, at_boot, at_segment, time_us, rate_hz, block_peak_g = table
    accel_g, vm_g, run_first, _ = clean
    trigger_g, threshold_g, edge, shoulder, min_duration_ms = levels
    found, start_us, numbers, deviation_g = out
    ordered, before, after = np.empty(MOST_AFTER), np.empty(3), np.empty(3)
    for number in range(len(device)):
        wanted = (device[number], boot[number], segment[number], onset_us[number])
        onset = _position(wanted, at_device, at_boot, at_segment, time_us)
        while vm_g[onset] < trigger_g:  # of equal stamps, the one that triggered
            onset += 1
        for axis in range(3):  # not known: one g along the onset's own direction
            known = not np.isnan(posture_g[number, 0])
            before[axis] = posture_g[number, axis] if known else accel_g[onset, axis] / vm_g[onset]
        _posture_after(clean, time_us, onset, spans_us[0], ordered, after)
        low, high, end = _search(clean, time_us, onset, trigger_g, spans_us)
        size_g = _sizes_g(accel_g, low, high, before, after)
        top, period_ms = onset - low, 1000.0 / rate_hz[onset]
        for k in range(onset - low + 1, min(end + 1, high) - low):
            if size_g[k] > size_g[top]:
                top = k
        first, last = _extent(size_g, top, shoulder)
        if size_g[top] < threshold_g or (last - first + 1.5) * period_ms < min_duration_ms:
            continue
        deviation_g[number] = size_g[top]
        first, last = _extent(size_g, top, edge)
        first, last, top = first + low, last + low, top + low
        away_g = _distance_g(accel_g, top, before)
        found[number], start_us[number] = True, time_us[first]
        numbers[number, 0] = (time_us[last] - time_us[first]) / 1000.0 + period_ms
        numbers[number, 1] = _largest_g(vm_g, block_peak_g, time_us, (run_first[onset], first, last))
        for axis in range(3):
            numbers[number, 2 + axis] = (accel_g[top, axis] - before[axis]) / away_g
