"""Plays made messages through thin clients at a chosen speed; killed and started again, it goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wearables_platform.edge.client import ThinClient
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.messages import EncodedMessage


class Emission(NamedTuple):
    """One message and when a device would send it.

    Attributes
    ----------
    position
        From 0, +1 per emission of a source; what the spool remembers.
    offset_s
        Seconds of the device's life from the source's start.
    gate_s
        None sends it at its time. Otherwise it, and all after it, wait until everything before is confirmed, and then
        as many seconds of wall-clock time: so a planted late message is late however slowly anything runs.
    repeat
        The message was sent before; it is counted apart.
    """

    position: int
    offset_s: float
    message: EncodedMessage
    gate_s: float | None = None
    repeat: bool = False


@dataclass(frozen=True)
class Source:
    """What one device sends: a name that is the same in every run, and its emissions in order."""

    device_id: str
    name: str
    emissions: Callable[[], Iterator[Emission]]


class _Playing:
    """One source on its way."""

    def __init__(self, source: Source, client: ThinClient, speed: float) -> None:
        self._source = source
        self._client = client
        self._speed = speed
        self._emissions = source.emissions()
        self._reached = client.progress(source.name)
        self._origin_s: float | None = None
        self._confirmed_s: float | None = None
        self._next = self._skip_to_unsent()

    @property
    def over(self) -> bool:
        """Whether everything is on disk."""
        return self._next is None

    def advance(self, now_s: float) -> None:
        """Put on disk what is due."""
        while self._next is not None and self._client.has_room and self._due(self._next, now_s):
            emission = self._next
            self._client.enqueue(
                [emission.message], source=self._source.name, position=emission.position, repeat=emission.repeat
            )
            self._confirmed_s = None
            self._next = next(self._emissions, None)

    def _skip_to_unsent(self) -> Emission | None:
        return next((emission for emission in self._emissions if emission.position > self._reached), None)

    def _due(self, emission: Emission, now_s: float) -> bool:
        if self._origin_s is None:
            self._origin_s = now_s - self._wait_s(emission)
        if now_s < self._origin_s + self._wait_s(emission):
            return False
        return emission.gate_s is None or self._confirmed_for(now_s) >= emission.gate_s

    def _wait_s(self, emission: Emission) -> float:
        return emission.offset_s / self._speed if self._speed > 0 else 0.0

    def _confirmed_for(self, now_s: float) -> float:
        """Return for how long everything sent so far has been confirmed, -1 if it is not."""
        if self._client.pending:
            self._confirmed_s = None
            return -1.0
        self._confirmed_s = now_s if self._confirmed_s is None else self._confirmed_s
        return now_s - self._confirmed_s


@dataclass
class Player:
    """Plays sources beside each other; the sources of one device one after another.

    Parameters
    ----------
    speed
        Seconds of the devices' lives per second; 0 as fast as the platform takes them.
    """

    fleet: Fleet
    sources: Sequence[Source]
    speed: float
    _waiting: dict[str, list[Source]] = field(default_factory=dict)
    _playing: dict[str, _Playing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for source in self.sources:
            self._waiting.setdefault(source.device_id, []).append(source)

    @property
    def over(self) -> bool:
        """Whether everything of every source is on disk."""
        return not self._waiting and not self._playing

    def advance(self, now_s: float) -> None:
        """Put on disk what is due now."""
        for device_id in [device_id for device_id in self._waiting if device_id not in self._playing]:
            source = self._waiting[device_id].pop(0)
            if not self._waiting[device_id]:
                del self._waiting[device_id]
            self._playing[device_id] = _Playing(source, self.fleet.clients[device_id], self.speed)
        for device_id, playing in list(self._playing.items()):
            playing.advance(now_s)
            if playing.over:
                del self._playing[device_id]

    def play(self) -> bool:
        """Play everything and wait for the last receipt; False if the process was asked to stop before."""
        while not self.fleet.interrupted and (not self.over or self.fleet.pending()):
            with self.fleet.transaction():
                self.advance(time.monotonic())
            self.fleet.pump()
            self.fleet.wait()
        return self.over and self.fleet.pending() == 0
