"""Why a message was not stored as data: the closed list of reasons, for dead letters and for quarantine.

A *dead letter* cannot be processed (bytes that are no message, a forged id). A *quarantined* message is well formed
but must not be believed (impossible time, same identity with another payload); the archive keeps it, marked.
"""

from __future__ import annotations

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """A record that cannot be processed."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNDECODABLE = "undecodable"
    BAD_DEVICE_ID = "bad_device_id"
    BAD_IDENTITY = "bad_identity"
    FORGED_ID = "forged_id"  # the payload's id is not the topic's, the credential's or the record key's
    UNKNOWN_DEVICE = "unknown_device"  # not enrolled
    BAD_ENCODING = "bad_encoding"
    BAD_SAMPLES = "bad_samples"  # none, or not a whole number of x, y, z triples
    BAD_RATE = "bad_rate"
    BAD_BLOCKS = "bad_blocks"  # per-block lists do not match block_count
    BAD_READING = "bad_reading"  # a reading with a span that ends before it starts, or too many readings
    POISON = "poison"  # processing it fails although it decodes


class QuarantineReason(StrEnum):
    """A message that is well formed and must not be believed."""

    BEFORE_REGISTRATION = "before_registration"
    TIME_BEFORE_EPOCH_OF_USE = "time_too_early"  # a clock at 1970, or a wrong unit
    TIME_IN_FUTURE = "time_in_future"
    PAYLOAD_MISMATCH = "payload_mismatch"  # equal identity, other payload
    SEQUENCE_JUMP = "sequence_jump"
