"""Samples to messages: glitch filter, downsampling, blocks of 100 ms, protobuf. No I/O and no clock in here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.errors import ConfigError
from wearables_platform.signals import downsample
from wearables_platform.signals.downsample import Blocks, DownsamplePlan
from wearables_platform.wire.codec import encode_samples_float32, encode_samples_int16
from wearables_platform.wire.v1 import telemetry_pb2 as pb

INT16_LEVELS = 32_767


@dataclass(frozen=True)
class Sampling:
    """How a device's samples become messages.

    Attributes
    ----------
    target_rate_hz
        Rates of twice this or more are reduced by a whole factor; lower ones pass untouched.
    blocks_per_message
        Blocks of 100 ms in one message: more cost less per block and arrive later.
    encoding
        float32 keeps the value, int16 halves the bytes at a resolution of `range_g` / 32767.
    """

    source_rate_hz: float
    target_rate_hz: float = 100.0
    blocks_per_message: int = 1
    encoding: Literal["float32", "int16"] = "float32"
    range_g: float = 16.0
    method: Literal["mean", "fir"] = "mean"

    def __post_init__(self) -> None:
        if not 1 <= self.blocks_per_message <= 3_000:
            msg = f"blocks_per_message must be 1 to 3000, not {self.blocks_per_message}"
            raise ConfigError(msg)
        if self.encoding not in ("float32", "int16"):
            msg = f"encoding must be float32 or int16, not {self.encoding!r}"
            raise ConfigError(msg)

    def plan(self) -> DownsamplePlan:
        """Return what the signal kernels do with the source."""
        return downsample.plan(
            self.source_rate_hz, self.target_rate_hz, method=self.method, range_g=self.range_g or np.inf
        )


class _Anchor(NamedTuple):
    """Both clocks at one source sample."""

    sample: int
    wall_us: int
    monotonic_us: int


class AccelerationEncoder:
    """Turns one boot's samples into messages numbered from 0; bytes do not depend on how the samples are chunked.

    Message times come from the clocks given with the chunk that holds the message's first sample, so that a
    step of the wall clock shows at the first message after it.
    """

    def __init__(self, device_id: str, boot_id: int, sampling: Sampling, *, next_sequence: int = 0) -> None:
        self.device_id = device_id
        self.boot_id = boot_id
        self.next_sequence = next_sequence
        self._sampling = sampling
        self._plan = sampling.plan()
        self._anchors: deque[_Anchor] = deque()
        self._state = downsample.start()
        self._held = _nothing()
        self._fed = 0
        self._sent = 0  # source samples of this run already in messages

    @property
    def rate_hz(self) -> float:
        """Rate of the samples sent."""
        return self._plan.rate_hz

    def feed(self, accel_g: NDArray[np.floating[Any]], start_us: int, monotonic_us: int) -> list[EncodedMessage]:
        """Take the next samples (T, 3), g, which follow the ones before without a gap; returns finished messages."""
        self._anchors.append(_Anchor(self._fed, start_us, monotonic_us))
        self._fed += len(accel_g)
        chunk = np.asarray(accel_g, np.float32)[None]
        self._state, blocks = downsample.step(self._plan, self._state, chunk)
        return self._add(blocks)

    def interrupt(self) -> list[EncodedMessage]:
        """End an unbroken run of samples, before a gap or the end; returns what was held back."""
        tail = downsample.finish(self._plan, self._state)
        whole = tail.accel_g.shape[1] // self._plan.per_block
        messages = self._add(_first_blocks(tail, whole, self._plan.per_block))
        messages += self._cut(self._held)
        messages += self._cut(_last_block(tail, whole, self._plan.per_block))
        self._restart()
        return messages

    def _restart(self) -> None:
        self._state = downsample.start()
        self._held = _nothing()
        self._fed = self._sent = 0
        self._anchors.clear()

    def _add(self, blocks: Blocks) -> list[EncodedMessage]:
        self._held = Blocks.concat([self._held, blocks]) if self._held.accel_g.shape[1] else blocks
        messages: list[EncodedMessage] = []
        size, samples = self._sampling.blocks_per_message, self._sampling.blocks_per_message * self._plan.per_block
        while self._held.peak_raw_g.shape[1] >= size:
            messages += self._cut(_first_blocks(self._held, size, self._plan.per_block))
            self._held = _without_first(self._held, size, samples)
        return messages

    def _cut(self, blocks: Blocks) -> list[EncodedMessage]:
        if not blocks.accel_g.shape[1]:
            return []
        identity = MessageIdentity(self.device_id, self.boot_id, self.next_sequence)
        message = self._encode(identity, blocks, *self._clocks())
        self.next_sequence += 1
        self._sent += blocks.accel_g.shape[1] * self._plan.factor
        return [message]

    def _clocks(self) -> tuple[int, int]:
        while len(self._anchors) > 1 and self._anchors[1].sample <= self._sent:
            self._anchors.popleft()
        anchor = self._anchors[0]
        since_us = round((self._sent - anchor.sample) * 1e6 / self._plan.source_rate_hz)
        return anchor.wall_us + since_us, anchor.monotonic_us + since_us

    def _encode(self, identity: MessageIdentity, blocks: Blocks, start_us: int, monotonic_us: int) -> EncodedMessage:
        reduced = self._plan.filters
        message = pb.AccelerationBatch(
            device_id=identity.device_id,
            boot_id=identity.boot_id,
            sequence=identity.sequence,
            start_time_us=start_us,
            start_monotonic_us=monotonic_us,
            rate_hz=self._plan.rate_hz,
            source_rate_hz=self._plan.source_rate_hz,
            downsampling=_method(self._plan),
            range_g=self._sampling.range_g,
            block_count=blocks.peak_raw_g.shape[1],
            peak_raw_g=blocks.peak_raw_g[0],
            peak_g=blocks.peak_g[0] if reduced else (),
            glitches=blocks.glitches[0] if reduced else (),
            clipped=blocks.clipped[0],
            **self._samples(blocks.accel_g[0]),
        )
        return EncodedMessage(ACCELERATION, identity, message.SerializeToString(deterministic=True), start_us)

    def _samples(self, accel_g: NDArray[np.float32]) -> dict[str, Any]:
        if self._sampling.encoding == "float32":
            return {"encoding": pb.SAMPLE_ENCODING_FLOAT32_G, "samples": encode_samples_float32(accel_g)}
        scale_g = float(np.float32((self._sampling.range_g or 16.0) / INT16_LEVELS))
        samples = encode_samples_int16(accel_g, scale_g)
        return {"encoding": pb.SAMPLE_ENCODING_INT16_SCALED, "scale_g": scale_g, "samples": samples}


def _method(the_plan: DownsamplePlan) -> pb.Downsampling:
    if not the_plan.filters:
        return pb.DOWNSAMPLING_NONE
    return pb.DOWNSAMPLING_BLOCK_MEAN if the_plan.method == "mean" else pb.DOWNSAMPLING_POLYPHASE_FIR


def _nothing() -> Blocks:
    real, count = np.empty((1, 0), np.float32), np.empty((1, 0), np.int32)
    return Blocks(np.empty((1, 0, 3), np.float32), real, real, count, count)


def _first_blocks(blocks: Blocks, count: int, per_block: int) -> Blocks:
    return _slice(blocks, slice(0, count * per_block), slice(0, count))


def _without_first(blocks: Blocks, count: int, samples: int) -> Blocks:
    return _slice(blocks, slice(samples, None), slice(count, None))


def _last_block(blocks: Blocks, whole: int, per_block: int) -> Blocks:
    """Return the shorter last block alone: blocks of one message are of equal length."""
    return _without_first(blocks, whole, whole * per_block)


def _slice(blocks: Blocks, samples: slice, of_blocks: slice) -> Blocks:
    return Blocks(
        blocks.accel_g[:, samples],
        blocks.peak_raw_g[:, of_blocks],
        blocks.peak_g[:, of_blocks],
        blocks.glitches[:, of_blocks],
        blocks.clipped[:, of_blocks],
    )
