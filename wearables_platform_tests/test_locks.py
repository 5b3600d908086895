"""The lock files: pinned, hashed, of one mind, and free of where their author downloads from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from wearables_platform_tests.schema import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
CHAIN = ("runtime", "demo", "dev", "ci")
"""Each holds everything of the one before it."""


def entries(lock: Path) -> list[str]:
    """One logical line per requirement, continuation lines joined."""
    joined = lock.read_text().replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def requirement(entry: str) -> Requirement:
    return Requirement(entry.partition("--hash")[0].strip())


def pins(name: str) -> dict[str, set[str]]:
    """Versions by name; a package may have several, for different machines."""
    found: dict[str, set[str]] = {}
    for one in map(requirement, entries(ROOT / "requirements" / f"{name}.txt")):
        found.setdefault(canonicalize_name(one.name), set()).add(str(one.specifier))
    return found


def declared(extra: str | None) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    ours = canonicalize_name(project["name"])
    return {name for line in lines if (name := canonicalize_name(Requirement(line).name)) != ours}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_and_hashed(lock: Path) -> None:
    loose = [
        entry[:60]
        for entry in entries(lock)
        if not re.fullmatch(r"==[^,*]+", str(requirement(entry).specifier))
        or not re.search(r"--hash=sha256:[0-9a-f]{64}(\s|$)", entry)
    ]
    assert loose == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_lock_says_where_to_download(lock: Path) -> None:
    said = [line for line in lock.read_text().splitlines() if "://" in line or line.lstrip().startswith("-")]
    # All but the hashes, which stand indented below their requirement.
    assert [line for line in said if not line.lstrip().startswith("--hash=sha256:")] == []


@pytest.mark.parametrize(
    ("inner", "outer"), [*zip(CHAIN, CHAIN[1:], strict=False), ("runtime", "spark"), ("spark", "ci")]
)
def test_what_is_installed_is_what_was_tested(inner: str, outer: str) -> None:
    wider = pins(outer)
    assert {name: versions for name, versions in pins(inner).items() if not versions <= wider.get(name, set())} == {}


@pytest.mark.parametrize("name", CHAIN)
def test_a_lock_holds_what_the_project_declares(name: str) -> None:
    wanted = declared(None if name == "runtime" else name)
    assert wanted
    assert wanted - pins(name).keys() == set()


def test_the_copyleft_server_is_for_ci_alone() -> None:
    assert {name for name in CHAIN if "secantusdb" in pins(name)} == {"ci"}
