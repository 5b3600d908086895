"""What devices play: recordings, and the simulated fleet with everything it does wrong, as emissions in order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Final

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.domain.time_policy import US_PER_S
from wearables_platform.edge.acceleration import Sampling
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.playback import Emission, Source
from wearables_platform.edge.recordings import Recording, replay_messages
from wearables_platform.edge.simulation.fleet import BLOCKS_PER_SECOND, Fate, SimulatedDevice

# Well past the two seconds of log time for which the stream holds a sequence gap open.
LATE_AFTER_S: Final = 6.0
# The boots under which the spool keeps bytes that are no message of the device.
_HOSTILE_BOOTS: Final = 200


def recording_source(device_id: str, recording: Recording, sampling: Sampling) -> Source:
    """Play one recording, byte for byte the same each time."""
    name = f"recording {recording.group} {recording.content_sha256().hex()[:16]} {sampling!r}"
    return Source(device_id, name, partial(_recording_emissions, device_id, recording, sampling))


def fleet_source(device: SimulatedDevice) -> Source:
    """Play one simulated device."""
    name = f"simulated fleet {device.seed} {device.seconds} {device.start_us}"
    return Source(device.device_id, name, partial(_fleet_emissions, device))


def _recording_emissions(device_id: str, recording: Recording, sampling: Sampling) -> Iterator[Emission]:
    for position, message in enumerate(replay_messages(device_id, recording, sampling)):
        offset_s = (message.start_us - int(recording.time_us[0])) / US_PER_S
        yield Emission(position, offset_s, message)


def _fleet_emissions(device: SimulatedDevice) -> Iterator[Emission]:
    """Send what is sent in time; then, each after all before is confirmed, what is sent twice, wrongly or late."""
    positions = count()
    sent: list[EncodedMessage] = []
    late: list[EncodedMessage] = []
    for number, planned in enumerate(device.messages(), start=1):
        if planned.fate is Fate.SENT:
            sent.append(planned.message)
            yield Emission(next(positions), number / BLOCKS_PER_SECOND, planned.message)
        elif planned.fate is Fate.LATE:
            late.append(planned.message)
    end_s = float(device.seconds)
    for message in (*device.extras(), *_hostile(device)):
        yield Emission(next(positions), end_s, message)
    for message in (*device.duplicated(sent), *filter(None, [device.mismatched(sent)])):
        yield Emission(next(positions), end_s, message, gate_s=0.0, repeat=True)
    for message in late:
        yield Emission(next(positions), end_s, message, gate_s=LATE_AFTER_S)


def _hostile(device: SimulatedDevice) -> Iterator[EncodedMessage]:
    for number, (hostile, _reason) in enumerate(device.hostile()):
        assert hostile.topic == ACCELERATION.mqtt_topic(device.device_id)
        identity = MessageIdentity(device.device_id, device.boot_id(_HOSTILE_BOOTS + number), 0)
        yield EncodedMessage(ACCELERATION, identity, hostile.payload, device.start_us)
