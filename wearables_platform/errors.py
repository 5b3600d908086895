"""The one exception tree.

::

    WearablesError
    ├── TerminalError          retrying cannot help
    │   ├── ConfigError        a setting is missing, misspelt or contradictory
    │   ├── WireError          bytes that are not a message of ours (a *record* error: becomes a dead letter)
    │   ├── LogPositionError   the log is not the one the saved position belongs to, or no longer holds it
    │   ├── StoreRefused       a store understood the request and said no
    │   │   └── AccessRefused  ... to the account, or its certificate is not the one the settings lead to
    │   └── ModelRefused       a model artefact that must not be used
    └── TransientError         the same call may succeed later
        ├── StoreUnavailable   a store did not answer, or answered "not now"
        └── LakeConflict       another writer replaced the lake partition first: read again, then write again

Bad records are data (they become dead letters with a reason); failures are exceptions. Clients translate their
driver's errors into this tree with ``raise ... from exc``; whether to retry is the base class.
"""


class WearablesError(Exception):
    """Base of everything this platform raises on purpose."""


class TerminalError(WearablesError):
    """Retrying the same call cannot succeed."""


class TransientError(WearablesError):
    """The same call may succeed later; callers retry with back-off."""


class ConfigError(TerminalError):
    """A setting is missing, misspelt or contradicts another; the message names its key."""


class WireError(TerminalError):
    """Bytes that cannot be decoded into a valid message; ``reason`` is the dead letter's reason code."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class LogPositionError(TerminalError):
    """A saved log position does not fit the log that is there (re-created topic, expired or unknown offset)."""


class StoreRefused(TerminalError):
    """A store understood the request and refused it (constraint, permission, malformed)."""


class AccessRefused(StoreRefused):
    """An account, a certificate or a host name does not fit; the message begins with the setting to look at."""

    def __init__(self, setting: str, why: str) -> None:
        super().__init__(f"WEARABLES_{setting.upper()}: {why}")


class ModelRefused(TerminalError):
    """A model artefact failed one of the checks that come before it may score anything."""


class StoreUnavailable(TransientError):
    """A store did not answer, or answered that it cannot serve now."""


class LakeConflict(TransientError):
    """Another writer replaced a lake partition since it was read; whoever lost reads the source again."""
