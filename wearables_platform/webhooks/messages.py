"""What a receiver is sent: the event as the API's anomalies have it, who wore the device, and an id made from all that.

The id is made from the receiver's name, the event's key and its revision, so the same word about an event has the same
id however often the log is read, and another word (final after provisional) has another.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.domain.severity import Severity
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import WireError

PROVISIONAL: Final = "anomaly.provisional"
FINAL: Final = "anomaly.final"
TEST: Final = "webhook.test"


class Announcement(BaseModel, frozen=True):
    """An event as the stream announces it in Kafka; what receivers are not told is not read."""

    device_id: str
    kind: str
    start_us: int
    end_us: int
    duration_ms: float
    severity: Severity
    provisional: bool
    revision: int
    extreme_value: float | None = None
    extreme_unit: str | None = None
    peak_g: float | None = None
    feature_version: str
    model_version: str | None = None

    @property
    def started_at(self) -> datetime:
        """Its first instant."""
        return from_us(self.start_us)


def announcement_of(payload: bytes) -> Announcement:
    """Read a record of the topic; raises `WireError` if it is no event."""
    try:
        found = Announcement.model_validate_json(payload)
        from_us(found.end_us), found.started_at  # noqa: B018 - instants a calendar has
    except (ValidationError, OverflowError, ValueError) as exc:
        raise WireError(DeadLetterReason.UNDECODABLE, str(exc)) from exc
    return found


def message_id(webhook: str, event: Announcement) -> str:
    """Return the id by which a receiver knows that it has a message already."""
    said = json.dumps([webhook, event.device_id, event.kind, event.start_us, event.revision])
    return f"msg_{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def message_body(event: Announcement, participant_id: str | None, study_id: str | None) -> str:
    """Return the message's text, whose bytes are what is signed."""
    data = {
        "device_id": event.device_id,
        "participant_id": participant_id,
        "study_id": study_id,
        "kind": event.kind,
        "started_at": _instant(event.started_at),
        "ended_at": _instant(from_us(event.end_us)),
        "duration_ms": event.duration_ms,
        "severity": event.severity,
        "extreme_value": event.peak_g if event.extreme_value is None else event.extreme_value,
        "extreme_unit": "[g]" if event.extreme_unit is None and event.peak_g is not None else event.extreme_unit,
        "peak_g": event.peak_g,
        "provisional": event.provisional,
        "revision": event.revision,
        "feature_version": event.feature_version,
        "model_version": event.model_version,
    }
    return _text(PROVISIONAL if event.provisional else FINAL, event.started_at, data)


def trial_body(webhook: str, at: datetime) -> str:
    """Return the text of a message that only shows that messages arrive."""
    return _text(TEST, at, {"webhook": webhook})


def _text(kind: str, at: datetime, data: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "timestamp": _instant(at), "data": data}, separators=(",", ":"))


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
