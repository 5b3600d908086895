"""The live stream: server-sent events of the fleet's newest values, one device's trace, and events as they come.

What changed since the last tick is sent, nothing twice. A tick is sent even when nothing changed, so a reader knows a
quiet fleet from a dead connection. The rate is bounded by the interval, the size by the number of devices asked for
and, after the first frame, by `MAX_CHANGED`: where more changes, each device has its turn. A reader who does
not keep up is cut off by the socket's time-out, never buffered for.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wearables_platform.api.fleet_rows import COLUMNS, compact_row
from wearables_platform.api.latest import (
    FleetView,
    Visible,
    freshness_of,
    latest_values,
    only_visible,
    recent_anomaly,
)
from wearables_platform.api.replies import Freshness, Latest
from wearables_platform.clients.redis import MAX_ANOMALIES
from wearables_platform.errors import StoreUnavailable
from wearables_platform.web.problems import RETRY_AFTER_S, RequestRefused

TICK_S = 0.25  # the trace moves four times a second, the fleet once
FLEET_EVERY_TICKS = 4
PLATFORM_EVERY_TICKS = 20
# How much of the trace a new reader gets at once; then only what is new.
TRACE_SPAN_US = 15_000_000
ANOMALIES_AT_START = 300
MAX_STREAMS = 24
# Rows in a frame after the first. 10,000 moving devices are told in turn, each every five seconds; those that fall
# silent or come back go first.
MAX_CHANGED = 2_000


class LiveStreams:
    """Hands out streams, a bounded number at a time, and ends them all when the process stops."""

    def __init__(self, count: Callable[[int], None], *, limit: int = MAX_STREAMS, tick_s: float = TICK_S) -> None:
        self.closing = threading.Event()
        self._count = count
        self.tick_s = tick_s
        self._slots = threading.BoundedSemaphore(limit)

    def open(self, stream: LiveStream) -> OpenStream:
        """Start a stream, or refuse it if too many are open."""
        if self.closing.is_set() or not self._slots.acquire(blocking=False):
            raise RequestRefused(
                503,
                "too-many-streams",
                "too many live streams are open",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        return OpenStream(stream.frames(self.closing, self.tick_s), self._slots.release, self._count)


class OpenStream:
    """The body of a live response. Closing it frees its slot, once, even if it was never read (a HEAD request)."""

    def __init__(self, frames: Generator[bytes], release: Callable[[], None], count: Callable[[int], None]) -> None:
        self._frames = frames
        self._release = release
        self._count = count
        self._closed = False
        count(1)

    def __iter__(self) -> OpenStream:
        return self

    def __next__(self) -> bytes:
        return next(self._frames)

    def close(self) -> None:
        """End the stream; the WSGI server calls this when the reader goes."""
        if not self._closed:
            self._closed = True
            self._frames.close()
            self._count(-1)
            self._release()


@dataclass
class LiveStream:
    """One reader's stream: what to send, and what was sent last."""

    fleet: FleetView
    clock: Callable[[], datetime]
    device_id: str | None
    limit: int
    visible: Visible
    platform: Callable[[], dict[str, Any]]
    last_anomaly_id: str | None = None
    compact: bool = False
    # What was last sent of each device, the one sent longest ago first.
    _sent: dict[str, tuple[dict[str, str], str]] = field(default_factory=dict)
    _device: Latest | None = None
    _trace_us: int = -1

    def frames(self, closing: threading.Event, tick_s: float) -> Generator[bytes]:
        """Yield events until the process stops or the reader goes."""
        hello: dict[str, Any] = {"tick_s": tick_s, "fleet_every_s": tick_s * FLEET_EVERY_TICKS}
        yield _frame("hello", hello | ({"columns": COLUMNS} if self.compact else {}), retry_ms=1000)
        tick = 0
        while not closing.is_set():
            try:
                yield from self._tick(tick)
            except StoreUnavailable:
                # The reader keeps its connection and is told; the next tick tries again.
                yield _frame("unavailable", {"detail": "the live store does not answer now"})
            tick += 1
            closing.wait(tick_s)

    def _tick(self, tick: int) -> Iterator[bytes]:
        if tick % FLEET_EVERY_TICKS == 0:
            yield self._fleet_frame()
            yield from self._anomaly_frames()
            yield from self._device_frames()
        if tick % PLATFORM_EVERY_TICKS == 0:
            yield _frame("platform", self.platform())
        if self.device_id is not None:
            yield from self._trace_frames(self.device_id)

    def _fleet_frame(self) -> bytes:
        now = self.clock()
        total, raw = self.fleet.newest(self.limit, self.visible)
        gone = [name for name in self._sent if name not in raw]
        for name in gone:
            del self._sent[name]
        fresh = {name: freshness_of(values, now) for name, values in raw.items()}
        changed = self._chosen(raw, fresh)
        for name in changed:
            self._sent.pop(name, None)  # to the end: it has had its turn
            self._sent[name] = raw[name], fresh[name]
        rows = [self._row(name, raw[name], fresh[name], now) for name in changed]
        return _frame("fleet", {"as_of": now.isoformat(), "total": total, "changed": rows, "gone": gone})

    def _chosen(self, raw: dict[str, dict[str, str]], fresh: dict[str, Freshness]) -> list[str]:
        """Return the devices to tell of now: new ones, those whose state changed, then those told of longest ago."""
        new = [name for name in raw if name not in self._sent]
        turned, moved = [], []
        for name, (values, state) in self._sent.items():
            if state != fresh[name]:
                turned.append(name)
            elif values != raw[name]:
                moved.append(name)
        return [*new, *turned, *moved[: max(0, MAX_CHANGED - len(new) - len(turned))]]

    def _row(self, name: str, values: dict[str, str], state: Freshness, now: datetime) -> Any:
        if self.compact:
            return compact_row(name, values, state)
        return latest_values(name, values, now).model_dump(mode="json")

    def _device_frames(self) -> Iterator[bytes]:
        if self.device_id is None or (self.visible is not None and self.device_id not in self.visible):
            return
        values = self.fleet.one(self.device_id, self.clock(), self.visible)
        told = self._device
        # Age alone is no news.
        if told is None or told.model_copy(update={"age_s": values.age_s}) != values:
            self._device = values
            yield _frame("device", values.model_dump(mode="json"))

    def _anomaly_frames(self) -> Iterator[bytes]:
        limit = MAX_ANOMALIES if self.last_anomaly_id else ANOMALIES_AT_START
        entries = self.fleet.source.recent_anomalies(self.last_anomaly_id, limit)
        if not entries:
            return
        self.last_anomaly_id = entries[0][0]
        items = [recent_anomaly(name, raw).model_dump(mode="json") for name, raw in only_visible(entries, self.visible)]
        yield _frame("anomalies", {"items": items}, event_id=self.last_anomaly_id)

    def _trace_frames(self, device_id: str) -> Iterator[bytes]:
        # Where the device was somebody else's before, what it said then is not the reader's.
        after_us = max(self._trace_us, (self.visible or {}).get(device_id, 0) - 1)
        points = [point for point in self.fleet.source.trace(device_id, after_us) if math.isfinite(point[1])]
        if not points:
            return
        first = self._trace_us < 0
        self._trace_us = points[-1][0]
        if first:
            points = [point for point in points if point[0] > self._trace_us - TRACE_SPAN_US]
        yield _frame("trace", {"device_id": device_id, "restart": first, "points": points})


def _frame(event: str, body: dict[str, Any], *, event_id: str | None = None, retry_ms: int | None = None) -> bytes:
    lines = [f"event: {event}"]
    if event_id is not None:
        lines.append(f"id: {event_id}")
    if retry_ms is not None:
        lines.append(f"retry: {retry_ms}")
    lines.append(f"data: {json.dumps(body, separators=(',', ':'))}")
    return ("\n".join(lines) + "\n\n").encode()
