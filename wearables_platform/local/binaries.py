"""Finding programs on PATH and inside installed packages, and asking them for their version."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSION_TIMEOUT_S = 10.0


def on_path(name: str) -> Path | None:
    """Find a binary on PATH; one inside our own environment came with a wheel and does not count."""
    found = shutil.which(name)
    if found is None or Path(found).resolve().is_relative_to(Path(sys.prefix).resolve()):
        return None
    # Not resolved: Debian's redis-server is a link to a program that goes by the name it was called.
    return Path(found).absolute()


def in_wheel(module: str, relative: str) -> Path | None:
    """Find a file inside an installed package without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    candidate = Path(spec.submodule_search_locations[0]) / relative
    return candidate if candidate.exists() else None


def wheel_version(distribution: str) -> str | None:
    """Return an installed distribution's version, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def binary_version(*argv: str) -> str:
    """Ask a binary for its version; the first thing in the answer that looks like one."""
    answer = subprocess.run(  # the path comes from PATH or a wheel, no shell
        argv, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
    )
    found = re.search(r"\d+\.\d+(?:\.\d+)?", answer.stdout + answer.stderr)
    return found.group() if found else "unknown"
