"""Model files: zip archives with a description of ours in front, opened behind checks, byte-equal for equal content."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from wearables_platform.models.refusal import Refusal, refused

if TYPE_CHECKING:
    from wearables_platform.clients.lake import Lake  # boto3 takes half a second to import

DESCRIPTION_MEMBER: Final = "wearables-model.json"
MAX_BYTES: Final = 32 * 1024 * 1024  # a forest of 100 trees unpacks to 3 MB, one that knows ten classes to 10 MB
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip member may carry


def files_of(lake: Lake) -> Callable[[str], bytes]:
    """Return what reads model files of a lake; `ModelRefused` where one is larger than any model, before it is read."""

    def read(path: str) -> bytes:
        data = lake.get_at_most(path, MAX_BYTES)
        if len(data) > MAX_BYTES:
            raise refused(Refusal.TOO_LARGE, f"{path} is larger than the {MAX_BYTES} bytes allowed")
        return data

    return read


def written(description: dict[str, Any], members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return an archive of the description and the members, in that order."""
    described = json.dumps(description, sort_keys=True, allow_nan=False).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in [(DESCRIPTION_MEMBER, described), *members]:
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            archive.writestr(entry, data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=6)
    return buffer.getvalue()


def opened(data: bytes, sha256: str, max_bytes: int = MAX_BYTES) -> zipfile.ZipFile:
    """Open a model's file; `ModelRefused` where it is another one, no archive, or unpacks to too much."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise refused(Refusal.WRONG_SHA256, f"expected {sha256}, the file has {found}")
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        unpacked = sum(entry.file_size for entry in archive.infolist())
    except Exception as exc:  # as in `json_member`
        raise refused(Refusal.CORRUPT, f"not a model archive ({type(exc).__name__}: {exc})") from exc
    if max(len(data), unpacked) > max_bytes:
        raise refused(Refusal.TOO_LARGE, f"{unpacked} bytes unpacked, {max_bytes} allowed")
    return archive


def json_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Read a member that is JSON; `ModelRefused` where it is missing or none."""
    try:
        return json.loads(archive.read(name))
    except KeyError as exc:
        raise refused(Refusal.FOREIGN_SCHEMA, f"the file has no {name}") from exc
    except Exception as exc:  # a forged or damaged archive can fail in any way inside zipfile and zlib
        raise refused(Refusal.CORRUPT, f"{name} cannot be read ({type(exc).__name__}: {exc})") from exc
