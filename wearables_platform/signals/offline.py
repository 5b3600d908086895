"""Whole recordings at once: the same kernels as the stream's, summed up.

What needs the far future, or the whole recording, lives here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wearables_platform.signals.cleaning import CLIP_SHARE
from wearables_platform.signals.device_rules import final_findings
from wearables_platform.signals.downsample import Blocks, DownsamplePlan, downsample, plan
from wearables_platform.signals.events import EventRows, SpikeParams, spike_events
from wearables_platform.signals.minutes import Readings
from wearables_platform.signals.motion import vector_magnitude_g
from wearables_platform.signals.rates import measured_rate_hz
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import continuity_breaks
from wearables_platform.signals.windows import WindowParams, WindowRows, compute_windows

MAD_EPOCH_US = 5_000_000
"""Epoch of the mean absolute deviation, as published (Vaha-Ypya 2015)."""


@dataclass(frozen=True)
class SpikeSummary:
    """One spike event, its start counted from the recording's first sample."""

    start_s: float
    peak_g: float
    duration_ms: float


@dataclass(frozen=True)
class RuleSummary:
    """One event of a rule, its start counted from the recording's first sample; rules speak of whole UTC minutes."""

    kind: str
    start_s: float
    end_s: float
    extreme_value: float
    extreme_unit: str


@dataclass(frozen=True)
class RecordingSummary:
    """What `wearables analyze` says of one recording.

    Attributes
    ----------
    samples : int
        Samples used.
    skipped : dict
        Samples not used, by reason.
    seconds : float
        From the first sample to the end of the last one's period.
    rate_hz : float
        As given, or measured (`measured_rate_hz`).
    steps : int
    enmo_mg, mad_mg : float
        Over the samples as recorded; MAD in epochs of 5 s, weighted by their samples.
    enmo_clean_mg : float
        Over the samples that the windows are computed from: downsampled, without glitches.
    glitches : int
    clipped : int
        Samples at the end of the sensor's range, at the rate they were recorded.
    spikes : tuple of SpikeSummary
    events : tuple of RuleSummary
        What the rules say of movement, and of heart rate where it is given.
    windows : WindowRows or None
    """

    samples: int
    skipped: dict[str, int]
    seconds: float
    rate_hz: float
    steps: int
    enmo_mg: float
    mad_mg: float
    enmo_clean_mg: float
    glitches: int
    clipped: int
    spikes: tuple[SpikeSummary, ...]
    events: tuple[RuleSummary, ...] = ()
    windows: WindowRows | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dicts; what is not finite becomes None."""
        plain = {
            name: _plain(value) for name, value in vars(self).items() if name not in ("spikes", "events", "windows")
        }
        plain["spikes"] = [vars(spike) for spike in self.spikes]
        plain["events"] = [vars(event) for event in self.events]
        if self.windows is not None:
            plain["windows"] = _rows_to_dicts(self.windows)
        return plain


@dataclass(frozen=True)
class AnalysisParams:
    """Settings of an analysis; the defaults are those of the platform. `range_g` is the sensor's, for all kernels."""

    target_rate_hz: float = 100.0
    range_g: float = 16.0
    windows: WindowParams = field(default_factory=WindowParams)
    spikes: SpikeParams = field(default_factory=SpikeParams)

    def of_range(self) -> AnalysisParams:
        """Return the settings with the sensor's range in every part of them."""
        windows = replace(self.windows, clean=replace(self.windows.clean, range_g=self.range_g))
        spikes = replace(self.spikes, clean=replace(self.spikes.clean, range_g=self.range_g))
        return replace(self, windows=windows, spikes=spikes)


def analyze_recording(
    time_us: ArrayLike,
    accel_g: ArrayLike,
    *,
    rate_hz: float | None = None,
    params: AnalysisParams | None = None,
    with_windows: bool = False,
    heart: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
) -> RecordingSummary:
    """Analyse one recording of one device.

    Parameters
    ----------
    time_us : (N,) int64
        Any order; equal stamps keep theirs.
    accel_g : (N, 3) float, g
    rate_hz : float, optional
        Nominal rate; measured if not given.
    params : AnalysisParams, optional
    with_windows : bool
        Whether to return the window rows too.
    heart : pair of (H,) arrays, optional
        Heart rates of the same person: time in us, beats per minute. The rules look at them too.

    Returns
    -------
    RecordingSummary

    Notes
    -----
    At twice the target rate or more the samples first pass the thin client's downsampling.
    """
    params = (params or AnalysisParams()).of_range()
    stamps, accel, skipped = _usable(time_us, accel_g)
    rate = measured_rate_hz(stamps) if rate_hz is None else rate_hz
    if not len(stamps) or not np.isfinite(rate):
        skipped["no_rate"] = len(stamps)
        return _nothing(skipped)
    table = to_platform_rate(stamps, accel, rate, params)
    rows = compute_windows(table, params.windows)
    vm_g = vector_magnitude_g(accel)
    return RecordingSummary(
        samples=len(stamps),
        skipped=skipped,
        seconds=float((stamps[-1] - stamps[0]) / 1e6 + 1 / rate),
        rate_hz=rate,
        steps=int(rows["steps"].sum()),
        enmo_mg=1000.0 * float(np.maximum(vm_g - 1.0, 0.0).mean()),
        mad_mg=_mad_mg(stamps, vm_g),
        enmo_clean_mg=_weighted_mean(rows["enmo_mg"], rows["n_samples"]),
        glitches=int(rows["glitches"].sum()),
        clipped=int((np.abs(accel).max(axis=1) >= CLIP_SHARE * params.range_g).sum()),
        spikes=_summaries(spike_events(table, params.spikes), int(stamps[0])),
        events=_rule_summaries(rows, heart, int(stamps[0])),
        windows=rows if with_windows else None,
    )


def to_platform_rate(
    time_us: NDArray[np.int64], accel_g: NDArray[np.float64], rate_hz: float, params: AnalysisParams | None = None
) -> SampleTable:
    """Return a sorted recording as a table at the platform's rate, each unbroken run reduced by itself."""
    params = params or AnalysisParams()
    table = SampleTable.build(device=0, time_us=time_us, rate_hz=rate_hz, accel_g=accel_g)
    the_plan = plan(rate_hz, params.target_rate_hz, range_g=params.range_g)
    if not the_plan.filters:
        return table
    bounds = np.append(np.flatnonzero(continuity_breaks(table)), len(table))
    parts = [_reduce_run(table.take(slice(*run)), the_plan) for run in zip(bounds[:-1], bounds[1:], strict=True)]
    return SampleTable.concat(parts)


def _reduce_run(run: SampleTable, the_plan: DownsamplePlan) -> SampleTable:
    blocks = downsample(the_plan, run.accel_g[None])
    size = blocks.accel_g.shape[1]
    return SampleTable.build(
        device=0,
        time_us=run.time_us[: size * the_plan.factor : the_plan.factor],
        rate_hz=the_plan.rate_hz,
        accel_g=blocks.accel_g[0],
        **_on_first_samples(blocks, size, the_plan.per_block),
    )


def _on_first_samples(blocks: Blocks, size: int, per_block: int) -> dict[str, NDArray[Any]]:
    """Return the per-block columns of one device with their values on each block's first sample."""
    columns: dict[str, NDArray[Any]] = {}
    for name in ("peak_raw_g", "peak_g", "glitches", "clipped"):
        values = getattr(blocks, name)[0]
        empty = np.nan if values.dtype.kind == "f" else 0
        columns[name] = np.full(size, empty, dtype=values.dtype)
        columns[name][::per_block] = values
    return columns


def _usable(time_us: ArrayLike, accel_g: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, int]]:
    """Return the finite samples in order of time, and how many were not."""
    stamps, accel = np.asarray(time_us, dtype=np.int64), np.asarray(accel_g, dtype=np.float64).reshape(-1, 3)
    if len(stamps) != len(accel):
        msg = f"time_us and accel_g must be equally long, got {len(stamps)} and {len(accel)}"
        raise ValueError(msg)
    finite = np.isfinite(accel).all(axis=1)
    order = np.argsort(stamps[finite], kind="stable")
    skipped = {"non_finite": int((~finite).sum())} if not finite.all() else {}
    return stamps[finite][order], accel[finite][order], skipped


def _mad_mg(time_us: NDArray[np.int64], vm_g: NDArray[np.float64]) -> float:
    """Return the mean over all samples of the deviation from the mean of their epoch."""
    _, epoch, count = np.unique((time_us - time_us[0]) // MAD_EPOCH_US, return_inverse=True, return_counts=True)
    mean_g = np.bincount(epoch, weights=vm_g) / count
    return 1000.0 * float(np.abs(vm_g - mean_g[epoch]).mean())


def _weighted_mean(values: NDArray[Any], weights: NDArray[Any]) -> float:
    known = weights > 0
    return float((values[known] * weights[known]).sum() / weights[known].sum()) if known.any() else float("nan")


def _summaries(events: EventRows, origin_us: int) -> tuple[SpikeSummary, ...]:
    columns = zip(events.start_us, events.peak_g, events.duration_ms, strict=True)
    return tuple(
        SpikeSummary(float(start_us - origin_us) / 1e6, float(peak_g), float(duration_ms))
        for start_us, peak_g, duration_ms in columns
    )


def _rule_summaries(
    rows: WindowRows, heart: tuple[NDArray[np.int64], NDArray[np.float64]] | None, origin_us: int
) -> tuple[RuleSummary, ...]:
    first = np.zeros(0 if heart is None else len(heart[0]), np.int32)
    readings = Readings.none() if heart is None else Readings.of(first, *heart, message=first)
    events = final_findings(rows, readings, 1).events
    return tuple(
        RuleSummary(
            kind=RULE_KINDS[event["kind"]].name,
            start_s=float(event["start_us"] - origin_us) / 1e6,
            end_s=float(event["end_us"] - origin_us) / 1e6,
            extreme_value=float(event["value"]),
            extreme_unit=RULE_KINDS[event["kind"]].unit,
        )
        for event in np.sort(events, order=["start_us", "kind"])
    )


def _nothing(skipped: dict[str, int]) -> RecordingSummary:
    nan = float("nan")
    return RecordingSummary(0, skipped, 0.0, nan, 0, nan, nan, nan, 0, 0, ())


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _rows_to_dicts(rows: WindowRows) -> list[dict[str, Any]]:
    names, columns = list(rows.features), [column.tolist() for column in rows.features.values()]
    records = zip(rows.start_us.tolist(), *columns, strict=True)
    return [
        {"start_us": start_us, **{name: _plain(value) for name, value in zip(names, values, strict=True)}}
        for start_us, *values in records
    ]
