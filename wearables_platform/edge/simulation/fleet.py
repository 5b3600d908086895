"""A small fleet of 16 kHz devices that does everything devices do wrong, each thing once and on record.

All is drawn from the seed. Seconds 20-25 and 38-43 of a run are kept for faults; pulses are planted elsewhere, so that
each planted thing has one cause.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.identity import MessageIdentity, boot_text, replay_boot_id
from wearables_platform.domain.reasons import DeadLetterReason, QuarantineReason
from wearables_platform.domain.time_policy import REGISTRATION_SPAN_US, US_PER_S
from wearables_platform.edge.acceleration import AccelerationEncoder, Sampling
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.simulation.motion import (
    SENSOR_RANGE_G,
    SENSOR_RATE_HZ,
    Motion,
    draw_glitches,
    draw_pulse,
    unit_vector,
)
from wearables_platform.edge.simulation.truth import (
    BlockGlitches,
    ClockStepTruth,
    FleetTruth,
    GapTruth,
    LetterTruth,
    MessageTruth,
    SpikeTruth,
)
from wearables_platform.wire.v1 import telemetry_pb2 as pb

MIN_DEVICES: Final = 6  # each fault has a device of its own
MIN_SECONDS: Final = 50
FAULT_SECOND: Final = 22  # gap, late block, clock step
REBOOT_SECOND: Final = 40  # the device is off in this second
QUIET_SECONDS: Final = (*range(19, 27), *range(37, 45))
BLOCKS_PER_SECOND: Final = 10
PULSE_CHANCE: Final = 0.8


class Fate(StrEnum):
    """What the device does with a message it made."""

    SENT = "sent"
    LOST = "lost"  # never sent: a gap
    LATE = "late"  # sent after everything else


class Planned(NamedTuple):
    """A message and its fate."""

    fate: Fate
    message: EncodedMessage


class Hostile(NamedTuple):
    """Bytes a device publishes beside its messages: on which topic, and how the platform must answer."""

    topic: str
    payload: bytes
    refused: bool


@dataclass(frozen=True)
class SimulatedDevice:
    """One device of the fleet."""

    device_id: str
    number: int
    seed: int
    seconds: int
    start_us: int
    registered_us: int
    neighbour: str  # whose id it forges
    faulty: bool = True

    @property
    def role(self) -> int:
        """Which fault it has, -1 for none."""
        return self.number % MIN_DEVICES if self.faulty else -1

    @cached_property
    def motion(self) -> Motion:
        """What its wearer does."""
        rng = np.random.default_rng([self.seed, self.number])
        still = Motion(int(rng.integers(2**62)), unit_vector(rng), float(rng.uniform(1.6, 2.2)))
        places = [s for s in range(4, self.seconds - 4, 4) if s not in QUIET_SECONDS]
        loud = [s for s in places if rng.random() < PULSE_CHANCE]
        pulses = [draw_pulse(rng, second) for second in loud]
        # A glitch inside a pulse would be a second truth about the same block.
        calm = [s for s in range(2, self.seconds - 1) if s not in loud and s != REBOOT_SECOND]
        glitches = draw_glitches(rng, calm, per_second=int(rng.integers(2, 5)))
        return replace(still, pulses=tuple(pulses), glitches=tuple(glitches))

    @property
    def gap_blocks(self) -> int:
        """How many blocks in a row its gap has."""
        return 3 + self._drawn(7)

    @property
    def clock_step_us(self) -> int:
        """By how much its clock jumps."""
        return (10 + self._drawn(31)) * US_PER_S

    @property
    def duplicate_count(self) -> int:
        """How many of its messages are sent twice."""
        return 2 + self._drawn(4)

    def _drawn(self, below: int) -> int:
        return int(np.random.default_rng([self.seed, self.number, below]).integers(below))

    def boot_id(self, boot: int) -> int:
        """Return the id of the device's boot number `boot`; the seed decides it."""
        content = hashlib.sha256(f"simulated fleet {self.seed}".encode()).digest()
        return replay_boot_id(self.device_id, content, f"boot {boot}")

    def messages(self) -> Iterator[Planned]:
        """Make every message of the run in order."""
        encoder = self._encoder(0)
        for second in range(self.seconds):
            if self.role == 2 and second == REBOOT_SECOND:
                yield from map(self._planned, encoder.interrupt())
                encoder = self._encoder(1)
                continue
            wall_us, monotonic_us = self._clocks(second)
            yield from map(self._planned, encoder.feed(self.motion.second(second), wall_us, monotonic_us))
        yield from map(self._planned, encoder.interrupt())

    def _encoder(self, boot: int) -> AccelerationEncoder:
        sampling = Sampling(SENSOR_RATE_HZ, range_g=SENSOR_RANGE_G)
        return AccelerationEncoder(self.device_id, self.boot_id(boot), sampling)

    def _clocks(self, second: int) -> tuple[int, int]:
        elapsed_us = second * US_PER_S
        step_us = self.clock_step_us if self.role == 3 and second >= FAULT_SECOND else 0
        return self.start_us + elapsed_us + step_us, elapsed_us

    def _planned(self, message: EncodedMessage) -> Planned:
        sequence = message.identity.sequence
        first = FAULT_SECOND * BLOCKS_PER_SECOND + 3
        fate = Fate.SENT
        if self.role == 1 and first <= sequence < first + self.gap_blocks:
            fate = Fate.LOST
        elif self.role == 0 and sequence == first:
            fate = Fate.LATE
        return Planned(fate, message)

    def extras(self) -> list[EncodedMessage]:
        """Make the well-formed messages that must not be believed: they are accepted, and quarantined."""
        if self.role != 4:
            return []
        too_early = self._lone_message(90, 1_000_000)
        before = self._lone_message(91, self.registered_us - REGISTRATION_SPAN_US - US_PER_S)
        return [too_early, before]

    def _lone_message(self, boot: int, start_us: int) -> EncodedMessage:
        encoder = self._encoder(boot)
        block = self.motion.second(1)[: SENSOR_RATE_HZ // BLOCKS_PER_SECOND]
        (message,) = [*encoder.feed(block, start_us, 0), *encoder.interrupt()]
        return message

    def duplicated(self, sent: Sequence[EncodedMessage]) -> list[EncodedMessage]:
        """Choose which of the sent messages are sent twice."""
        if not self.faulty:
            return []
        rng = np.random.default_rng([self.seed, self.number, 2])
        chosen = rng.choice(len(sent), self.duplicate_count, replace=False)
        return [sent[index] for index in sorted(chosen)]

    def mismatched(self, sent: Sequence[EncodedMessage]) -> EncodedMessage | None:
        """Make a message with the identity of one already sent and another content."""
        if self.role != 5:
            return None
        original = sent[11]
        changed = pb.AccelerationBatch.FromString(original.payload)
        changed.range_g = 8.0
        return original._replace(payload=changed.SerializeToString(deterministic=True))

    def hostile(self) -> list[tuple[Hostile, DeadLetterReason]]:
        """Make what the bridge must refuse: bytes that are no message, and another device's id."""
        topic = ACCELERATION.mqtt_topic(self.device_id)
        if self.role == 4:
            noise = np.random.default_rng([self.seed, self.number, 3]).bytes(40)
            return [(Hostile(topic, b"\xff" * 12 + noise, refused=True), DeadLetterReason.UNDECODABLE)]
        if self.role == 5:
            forged = replace(self, device_id=self.neighbour)._lone_message(92, self.start_us)
            return [(Hostile(topic, forged.payload, refused=True), DeadLetterReason.FORGED_ID)]
        return []


def simulated_fleet(
    seed: int, device_ids: Sequence[str], *, start_us: int, registered_us: int, seconds: int = 60
) -> list[SimulatedDevice]:
    """Return the devices of a fleet.

    Raises
    ------
    ValueError
        Fewer devices or seconds than the faults need.
    """
    if len(device_ids) < MIN_DEVICES or seconds < MIN_SECONDS:
        msg = f"the faults need {MIN_DEVICES} devices and {MIN_SECONDS} s, not {len(device_ids)} and {seconds}"
        raise ValueError(msg)
    return [
        SimulatedDevice(device_id, number, seed, seconds, start_us, registered_us, device_ids[number - 1])
        for number, device_id in enumerate(device_ids)
    ]


def fleet_truth(fleet: Sequence[SimulatedDevice]) -> FleetTruth:
    """Say everything that is planted; messages are made for it, nothing is sent."""
    truth = FleetTruth(fleet[0].seed)
    for device in fleet:
        _add_device(truth, device)
    return truth


def _add_device(truth: FleetTruth, device: SimulatedDevice) -> None:
    planned = list(device.messages())
    sent = [each.message for each in planned if each.fate is Fate.SENT]
    truth.devices.append(device.device_id)
    truth.messages += len(planned)
    truth.windows += len({message.start_us // US_PER_S for message in sent})
    truth.spikes += _spikes(device)
    truth.glitches += _glitches(device, planned)
    truth.duplicates += [str(message.identity) for message in device.duplicated(sent)]
    truth.late += [str(each.message.identity) for each in planned if each.fate is Fate.LATE]
    truth.gaps += _gaps([each.message for each in planned if each.fate is Fate.LOST])
    truth.reboots += [
        str(m.identity) for m in sent if m.identity.sequence == 0 and m.identity.boot_id != device.boot_id(0)
    ]
    truth.clock_steps += _clock_steps(device, planned)
    _add_hostile(truth, device, sent)


def _add_hostile(truth: FleetTruth, device: SimulatedDevice, sent: Sequence[EncodedMessage]) -> None:
    reasons = (QuarantineReason.TIME_BEFORE_EPOCH_OF_USE, QuarantineReason.BEFORE_REGISTRATION)
    for message, reason in zip(device.extras(), reasons, strict=False):
        truth.quarantined.append(MessageTruth(str(message.identity), reason))
    mismatched = device.mismatched(sent)
    if mismatched is not None:
        truth.quarantined.append(MessageTruth(str(mismatched.identity), QuarantineReason.PAYLOAD_MISMATCH))
    for hostile, letter in device.hostile():
        truth.dead_letters.append(LetterTruth(hashlib.sha256(hostile.payload).hexdigest(), letter))


def _spikes(device: SimulatedDevice) -> Iterator[SpikeTruth]:
    for pulse in device.motion.pulses:
        start_us = device.start_us + round(pulse.start_s * US_PER_S)
        if device.role == 3 and pulse.start_s >= FAULT_SECOND:
            start_us += device.clock_step_us
        yield SpikeTruth(device.device_id, start_us, device.motion.peak_g(pulse))


def _glitches(device: SimulatedDevice, planned: Sequence[Planned]) -> Iterator[BlockGlitches]:
    block_samples = SENSOR_RATE_HZ // BLOCKS_PER_SECOND
    counts = Counter(glitch.sample // block_samples for glitch in device.motion.glitches)
    first_of_boot = 0
    for each in planned:
        if each.message.identity.boot_id != device.boot_id(0):
            first_of_boot = (REBOOT_SECOND + 1) * BLOCKS_PER_SECOND
        count = counts[first_of_boot + each.message.identity.sequence]
        if count and each.fate is not Fate.LOST:
            yield BlockGlitches(str(each.message.identity), count)


def _gaps(lost: Sequence[EncodedMessage]) -> Iterator[GapTruth]:
    if lost:
        first, last = lost[0].identity, lost[-1].identity
        yield GapTruth(first.device_id, boot_text(first.boot_id), first.sequence, last.sequence, lost[0].start_us)


def _clock_steps(device: SimulatedDevice, planned: Sequence[Planned]) -> Iterator[ClockStepTruth]:
    if device.role == 3:
        stepped = MessageIdentity(device.device_id, device.boot_id(0), FAULT_SECOND * BLOCKS_PER_SECOND)
        assert any(each.message.identity == stepped for each in planned)
        yield ClockStepTruth(device.device_id, boot_text(stepped.boot_id), stepped.sequence, device.clock_step_us)
