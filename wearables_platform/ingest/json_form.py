"""The JSON form of vitals and status: named as in the schema file, turned into the one protobuf that travels.

Large integers may be written as numbers or decimal text, boot ids as 16 hex digits too (JSON readers lose digits above
2**53). The same JSON always becomes the same bytes, so a client's resend is a duplicate and not a contradiction.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from wearables_platform.domain.channels import STATUS, VITALS, Channel
from wearables_platform.domain.identity import BOOT_ID_BITS
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import WireError
from wearables_platform.wire.v1 import telemetry_pb2 as pb

MAX_READINGS: Final = 10_000


def _boot(value: Any) -> Any:
    return int(value, 16) if isinstance(value, str) and len(value) == 16 else value


BootId = Annotated[int, BeforeValidator(_boot), Field(ge=0, lt=2**BOOT_ID_BITS)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Sequence63 = Annotated[int, Field(ge=0, lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class HeartRateForm(_Strict):
    """One heart rate reading; a number, and a finite one: JSON has no other."""

    time_us: Int64
    bpm: Annotated[float, Field(strict=True, allow_inf_nan=False)]


class StepsForm(_Strict):
    """Steps over a span."""

    start_time_us: Int64
    end_time_us: Int64
    count: int = Field(ge=-(2**31), lt=2**31)


class ReadingForm(_Strict):
    """One number of a declared sensor type."""

    sensor: str
    channel: str = ""
    time_us: Int64
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]


class VitalsForm(_Strict):
    """A VitalsBatch in JSON."""

    device_id: str
    boot_id: BootId
    sequence: Sequence63
    start_time_us: Int64 | None = None
    start_monotonic_us: Int64 = 0
    heart_rate: list[HeartRateForm] = Field(default=[], max_length=MAX_READINGS)
    steps: list[StepsForm] = Field(default=[], max_length=MAX_READINGS)
    readings: list[ReadingForm] = Field(default=[], max_length=MAX_READINGS)
    vendor: dict[str, str] = {}

    def message(self) -> pb.VitalsBatch:
        """Return the protobuf message; without a start time, the earliest reading's."""
        times = [reading.time_us for reading in self.heart_rate] + [reading.start_time_us for reading in self.steps]
        times += [reading.time_us for reading in self.readings]
        fields = self.model_dump(exclude={"start_time_us"})
        start_us = self.start_time_us if self.start_time_us is not None else min(times, default=0)
        return pb.VitalsBatch(**fields, start_time_us=start_us)


class StatusForm(_Strict):
    """A DeviceStatus in JSON."""

    device_id: str
    boot_id: BootId
    sequence: Sequence63
    start_time_us: Int64
    start_monotonic_us: Int64 = 0
    battery_percent: float = -1.0
    worn: bool = False
    client_version: str = ""
    messages_produced: int = Field(default=0, ge=0, lt=2**63)
    messages_dropped: dict[str, Annotated[int, Field(ge=0, lt=2**63)]] = {}
    acceleration_boot_id: BootId = 0
    source_rate_hz: float = 0.0
    target_rate_hz: float = 0.0
    blocks_per_message: int = Field(default=0, ge=0, lt=2**32)
    device_model: str = ""
    firmware: str = ""

    def message(self) -> pb.DeviceStatus:
        """Return the protobuf message."""
        return pb.DeviceStatus(**self.model_dump())


FORMS: Final[dict[str, type[VitalsForm] | type[StatusForm]]] = {VITALS.name: VitalsForm, STATUS.name: StatusForm}


def parse_json(body: bytes) -> Any:
    """Read a JSON text, or raise `WireError` saying that it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise WireError(DeadLetterReason.UNDECODABLE, f"not JSON: {exc}"[:200]) from exc


def payload_from_document(channel: Channel, document: Any) -> bytes:
    """Turn a JSON document into the protobuf payload, byte for byte the same each time.

    Raises
    ------
    WireError
        `undecodable`: an unknown field, or a value out of its field's range; the detail names the field.
    """
    try:
        return FORMS[channel.name].model_validate(document).message().SerializeToString(deterministic=True)
    except ValidationError as exc:
        found = exc.errors()[0]
        place = ".".join(str(part) for part in found["loc"]) or "document"
        raise WireError(DeadLetterReason.UNDECODABLE, f"{place}: {found['msg']}") from exc
    except ValueError as exc:  # text that is no Unicode
        raise WireError(DeadLetterReason.UNDECODABLE, str(exc)[:200]) from exc
