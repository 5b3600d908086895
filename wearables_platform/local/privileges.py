"""Running a server as somebody who is not root, with files that somebody can read."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

SHARED_STATE = Path("/var/tmp")  # noqa: S108 - survives reboots; the directory below it is ours and 0755


@dataclass(frozen=True)
class Identity:
    """A user to run a server as."""

    uid: int
    gid: int


def unprivileged_identity() -> Identity | None:
    """Return whom root drops to; None when we are not root and nothing needs dropping."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Identity(nobody.pw_uid, nobody.pw_gid)


def reachable_by_others(path: Path) -> bool:
    """Tell whether an unprivileged user can walk to ``path`` (a virtual environment under /root it cannot)."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def state_directory(wanted: Path, identity: Identity | None) -> Path:
    """Return a directory that ``identity`` owns: ``wanted``, or a place in /var/tmp when that is out of reach.

    What stands in that place belongs to ``wanted`` as long as ``wanted`` says so: removing the run directory, by
    whatever means, makes the next start begin anew.
    """
    if identity is None or _reachable_parent(wanted):
        place = wanted
    else:
        place = elsewhere(wanted)
        _forget_unless_claimed(wanted, place, identity)
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if identity is not None:
        _claim(place, identity)
    return place


def elsewhere(wanted: Path) -> Path:
    """Return the place in /var/tmp that stands in for a directory."""
    digest = hashlib.sha256(str(wanted.resolve()).encode()).hexdigest()[:12]
    return SHARED_STATE / f"wearables-{digest}"


def _reachable_parent(wanted: Path) -> bool:
    wanted.parent.mkdir(parents=True, exist_ok=True)
    return reachable_by_others(wanted)


def _forget_unless_claimed(wanted: Path, place: Path, identity: Identity) -> None:
    claim = wanted / "elsewhere"
    if place.exists() and not claim.exists():
        _claim(place, identity)
        shutil.rmtree(place)
    wanted.mkdir(exist_ok=True, mode=0o700)
    claim.write_text(f"{place}\n")


def _claim(place: Path, identity: Identity) -> None:
    """Own the directory, refusing one that somebody else put there first (/var/tmp is everybody's)."""
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.geteuid(), identity.uid):
        msg = f"{place} belongs to somebody else"
        raise PermissionError(msg)
    os.chown(place, identity.uid, identity.gid)


def readable_copy(tree: Path, identity: Identity | None, state: Path) -> Path:
    """Return ``tree``, or a complete copy of it under ``state`` when ``identity`` cannot reach the original."""
    if identity is None or reachable_by_others(tree):
        return tree
    version = hashlib.sha256(f"{tree.resolve()}:{tree.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = state / f"{tree.name}-{version}"
    if not copy.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="copying-", dir=state))
        shutil.copytree(tree, unfinished / "tree", symlinks=True)
        unfinished.chmod(0o755)
        (unfinished / "tree").rename(copy)  # all of it or nothing, should the machine stop here
        unfinished.rmdir()
    return copy
