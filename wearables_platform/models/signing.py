"""The key that says who may put a model in force: it signs the registry's rows and the releases on the log.

HMAC-SHA256. Whoever can write to the database or to the topic, but does not hold the key, changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Final

from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

_RELEASE: Final = b"wearables.models.v1\0"  # in front of a release, so that its signature is good for nothing else


class SigningKey:
    """Signs, and tells what was signed with the same key."""

    def __init__(self, key: str) -> None:
        if not key:
            msg = "the key that signs registry rows and releases is empty"
            raise ValueError(msg)
        self._key = key.encode()

    def sign(self, content: bytes) -> str:
        """Return the signature of some bytes, lower-case hex."""
        return hmac.new(self._key, content, hashlib.sha256).hexdigest()

    def verify(self, content: bytes, signature: str, what: str) -> None:
        """Raise `ModelRefused` that names `what` where its signature is missing or wrong."""
        if not hmac.compare_digest(self.sign(content).encode(), signature.encode()):
            raise refused(Refusal.BAD_SIGNATURE, what if signature else f"{what} is not signed")

    def sealed(self, release: ModelRelease) -> ModelRelease:
        """Return a release with its signature, as it goes to the log."""
        found = ModelRelease()
        found.CopyFrom(release)
        found.signature = self.sign(_content(release))
        return found

    def opened(self, release: ModelRelease) -> ModelRelease:
        """Return a release from the log without its signature, or raise `ModelRefused` where that is not ours."""
        what = f"the release of {release.name or 'no model'} {release.version or '(none in force)'}"
        self.verify(_content(release), release.signature, what)
        found = ModelRelease()
        found.CopyFrom(release)
        found.ClearField("signature")
        return found


def _content(release: ModelRelease) -> bytes:
    """Return what is signed: every field that is set, so that a field added later breaks no old signature."""
    fields = {field.name: value for field, value in release.ListFields() if field.name != "signature"}
    return _RELEASE + json.dumps(fields, sort_keys=True).encode()
