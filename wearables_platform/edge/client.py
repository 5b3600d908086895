"""The thin client of one device: samples, heart rate and steps in; confirmed messages out.

It has no thread and no clock of its own: times are arguments, and `pump` is called often (each 100 ms or so) by
whoever drives it, `edge.fleet.Fleet` or a device's main loop. See docs/device.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wearables_platform import __version__
from wearables_platform.domain.identity import MessageIdentity, is_device_id, new_boot_id
from wearables_platform.edge.acceleration import AccelerationEncoder, Sampling
from wearables_platform.edge.messages import EncodedMessage, Status, Vitals, encode_status, encode_vitals
from wearables_platform.edge.outbox import Outbox, OutboxTiming, Transport
from wearables_platform.edge.spool import DROPPED, REFUSED, Spool
from wearables_platform.errors import ConfigError
from wearables_platform.signals import downsample


@dataclass(frozen=True)
class ClientConfig:
    """What one device's client needs to know."""

    device_id: str
    target_rate_hz: float = 100.0
    blocks_per_message: int = 1
    encoding: Literal["float32", "int16"] = "float32"
    method: Literal["mean", "fir"] = "mean"
    range_g: float = 16.0
    device_model: str = "unknown"
    firmware: str = ""
    timing: OutboxTiming = field(default_factory=OutboxTiming)

    def __post_init__(self) -> None:
        if not is_device_id(self.device_id):
            msg = f"device id {self.device_id!r} is not of the form [A-Za-z0-9_-]{{1,64}}"
            raise ConfigError(msg)

    def sampling(self, source_rate_hz: float) -> Sampling:
        """Return how samples of a source of this rate become messages."""
        return Sampling(
            source_rate_hz, self.target_rate_hz, self.blocks_per_message, self.encoding, self.range_g, self.method
        )


class ThinClient:
    """One device's client.

    Delivery: what `record`, `record_vitals` and `report_status` returned for is on disk, and is sent until a receipt
    covers it, over restarts. If the spool is full the oldest messages are dropped, counted and reported in the
    next status.

    Parameters
    ----------
    draw_boot_id
        Called once per message type when its first message is made; replays pass a function of the recording.
    """

    def __init__(
        self,
        config: ClientConfig,
        transport: Transport,
        spool: Spool,
        *,
        draw_boot_id: Callable[[], int] = new_boot_id,
    ) -> None:
        downsample.warm_up()
        self.config = config
        self._spool = spool
        self._draw_boot_id = draw_boot_id
        self._encoder: AccelerationEncoder | None = None
        self._source_rate_hz = 0.0
        self._vitals_boot = self._status_boot = 0
        self._vitals_sequence = self._status_sequence = 0
        self.outbox = Outbox(spool, transport, config.timing)

    @property
    def device_id(self) -> str:
        """The device."""
        return self.config.device_id

    @property
    def pending(self) -> int:
        """Messages on disk that nothing has confirmed."""
        return len(self._spool)

    @property
    def has_room(self) -> bool:
        """Whether the spool can take more without dropping soon; who can wait should."""
        return self._spool.has_room

    def record(
        self, accel_g: NDArray[np.floating[Any]], *, source_rate_hz: float, start_us: int, monotonic_us: int
    ) -> None:
        """Take samples (T, 3), g, that follow the ones before without a gap; both clocks at the first of them."""
        if self._encoder is None or source_rate_hz != self._source_rate_hz:
            self.interrupt()
            self._begin(source_rate_hz)
        assert self._encoder is not None
        self._keep(self._encoder.feed(accel_g, start_us, monotonic_us))

    def interrupt(self) -> None:
        """Send what is held back for a whole block: samples will be missing now, or no more will come."""
        if self._encoder is not None:
            self._keep(self._encoder.interrupt())

    def record_vitals(self, vitals: Vitals, monotonic_us: int) -> None:
        """Take heart rate and step readings."""
        self._vitals_boot = self._vitals_boot or self._draw_boot_id()
        identity = MessageIdentity(self.device_id, self._vitals_boot, self._vitals_sequence)
        self._keep([encode_vitals(identity, vitals, monotonic_us)])
        self._vitals_sequence += 1

    def report_status(
        self, start_us: int, monotonic_us: int, *, battery_percent: float = -1.0, worn: bool = True
    ) -> None:
        """Tell the platform how the device is, and what it had to drop."""
        self._status_boot = self._status_boot or self._draw_boot_id()
        identity = MessageIdentity(self.device_id, self._status_boot, self._status_sequence)
        self._keep([encode_status(identity, self._status(battery_percent, worn), start_us, monotonic_us)])
        self._status_sequence += 1

    def enqueue(
        self,
        messages: Sequence[EncodedMessage],
        *,
        source: str | None = None,
        position: int | None = None,
        repeat: bool = False,
    ) -> None:
        """Take messages made elsewhere (a replay), and how far their source has come, both or neither."""
        self._spool.append(messages, source=source, position=position, repeat=repeat)

    def progress(self, source: str) -> int:
        """Return the last position of a source that is on disk or confirmed, -1 before the first."""
        return self._spool.progress(source)

    def pump(self, now_s: float) -> None:
        """Send and receive what is due; `now_s` is any steady clock's time."""
        self.outbox.pump(now_s)

    def _begin(self, source_rate_hz: float) -> None:
        """Begin a boot; a change of the source's rate does so, that one boot has one rate."""
        self._encoder = AccelerationEncoder(self.device_id, self._draw_boot_id(), self.config.sampling(source_rate_hz))
        self._source_rate_hz = source_rate_hz

    def _keep(self, messages: Sequence[EncodedMessage]) -> None:
        if messages:
            self._spool.append(messages)

    def _status(self, battery_percent: float, worn: bool) -> Status:
        encoder = self._encoder
        return Status(
            battery_percent=battery_percent,
            worn=worn,
            client_version=__version__,
            messages_produced=encoder.next_sequence if encoder else 0,
            messages_dropped=self._dropped(),
            acceleration_boot_id=encoder.boot_id if encoder else 0,
            source_rate_hz=self._source_rate_hz,
            target_rate_hz=self.config.target_rate_hz,
            blocks_per_message=self.config.blocks_per_message,
            device_model=self.config.device_model,
            firmware=self.config.firmware,
        )

    def _dropped(self) -> dict[str, int]:
        refused = {f"{REFUSED}_{reason}": count for reason, count in self._spool.tally(REFUSED).items()}
        return {**self._spool.tally(DROPPED), **refused}

    def counts(self) -> dict[str, Any]:
        """Return what became of every message ever made here (see `Spool.counts`), and how many were sent again."""
        return {**self._spool.counts(), "resent": self.outbox.resent}
