"""Which deliveries become records, which are refused, and why: whole batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from wearables_platform.clients.mqtt_session import Delivery
from wearables_platform.domain.channels import CHANNEL_BY_NAME, MQTT_ROOT, Channel
from wearables_platform.domain.identity import MessageIdentity, is_device_id
from wearables_platform.domain.reasons import DeadLetterReason, QuarantineReason
from wearables_platform.domain.time_policy import registration_verdict
from wearables_platform.registry import Device
from wearables_platform.wire import codec

FindDevice = Callable[[str], Device | None]
_ROOT: Final = tuple(MQTT_ROOT.split("/"))


class Address(NamedTuple):
    """What an MQTT topic says: whose, and which channel."""

    device_id: str
    channel: Channel


@dataclass(frozen=True)
class Accepted:
    """A delivery to be written to Kafka; `verdict` is why its event time must not be believed, if so."""

    delivery: Delivery
    channel: Channel
    identity: MessageIdentity
    verdict: QuarantineReason | None


@dataclass(frozen=True)
class Refused:
    """A delivery that will never be accepted; `device_id` is the topic's, None where the topic is not ours."""

    delivery: Delivery
    device_id: str | None
    reason: DeadLetterReason
    detail: str


Judged = Accepted | Refused


@lru_cache(maxsize=100_000)  # a fleet's topics: three per device, each seen ten times a second
def parse_topic(topic: str) -> Address | None:
    """Read ``wearables/v1/{device_id}/{channel}``, None for anything else."""
    *root, device_id, leaf = topic.split("/") if topic.count("/") == len(_ROOT) + 1 else ("", "")
    if tuple(root) != _ROOT or leaf not in CHANNEL_BY_NAME or not is_device_id(device_id):
        return None
    return Address(device_id, CHANNEL_BY_NAME[leaf])


def judge(deliveries: Sequence[Delivery], find_device: FindDevice, max_payload_bytes: int) -> list[Judged]:
    """Judge a batch, keeping its order.

    Raises
    ------
    StoreUnavailable
        A device was never seen and the registry does not answer; nothing was decided.
    """
    verdicts: dict[int, Judged] = {}
    by_channel: dict[str, list[tuple[int, str]]] = {}
    for i, delivery in enumerate(deliveries):
        address = parse_topic(delivery.topic)
        if address is None:
            verdicts[i] = Refused(delivery, None, DeadLetterReason.BAD_DEVICE_ID, f"topic {delivery.topic[:200]!r}")
        else:
            by_channel.setdefault(address.channel.name, []).append((i, address.device_id))
    for name, members in by_channel.items():
        positions = [i for i, _ in members]
        judged = _judge_channel(
            CHANNEL_BY_NAME[name],
            [deliveries[i] for i in positions],
            [device_id for _, device_id in members],
            find_device,
            max_payload_bytes,
        )
        verdicts.update((positions[i], verdict) for i, verdict in judged)
    return [verdicts[i] for i in range(len(deliveries))]


def _judge_channel(
    channel: Channel,
    deliveries: list[Delivery],
    owners: list[str],
    find_device: FindDevice,
    max_payload_bytes: int,
) -> Iterator[tuple[int, Judged]]:
    decoded = codec.decode(channel, [d.payload for d in deliveries], max_payload_bytes=max_payload_bytes)
    for i, reason, detail in decoded.rejected:
        yield i, Refused(deliveries[i], owners[i], reason, detail)
    columns = (decoded.rows.column(name).to_pylist() for name in ("device_id", "boot_id", "sequence", "start_time_us"))
    for i, device_id, boot_id, sequence, start_us in zip(decoded.index.tolist(), *columns, strict=True):
        identity = MessageIdentity(device_id, boot_id, sequence)
        yield i, _judge_valid(channel, deliveries[i], owners[i], identity, start_us, find_device)


def _judge_valid(
    channel: Channel,
    delivery: Delivery,
    owner: str,
    identity: MessageIdentity,
    start_us: int,
    find_device: FindDevice,
) -> Judged:
    if identity.device_id != owner:
        detail = f"payload says {identity.device_id}, topic says {owner}"
        return Refused(delivery, owner, DeadLetterReason.FORGED_ID, detail)
    device = find_device(owner)
    if device is None or not device.enabled:
        return Refused(delivery, owner, DeadLetterReason.UNKNOWN_DEVICE, f"{owner} is not enrolled, or was revoked")
    return Accepted(delivery, channel, identity, registration_verdict(start_us, device.registered_us))
