"""The secrets of a deployment: drawn once, kept, closed to others, and of one piece with what is made of them."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from wearables_platform.deploy.secret_files import NAMES, PASSWORDS, make_secrets
from wearables_platform.errors import ConfigError


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_every_secret_is_drawn_once_and_stays(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    assert make_secrets(directory) == list(PASSWORDS)
    first = contents(directory)
    assert set(first) == set(NAMES)
    assert len({first[name] for name in PASSWORDS}) == len(PASSWORDS)
    assert make_secrets(directory) == []
    assert contents(directory) == first


def test_the_directory_is_closed_and_the_files_can_be_mounted_for_any_user(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    make_secrets(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o444}
    directory.chmod(0o755)
    with pytest.raises(ConfigError, match="others than its owner may enter"):
        make_secrets(directory)


def test_a_password_somebody_changed_goes_into_what_is_made_of_it(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    make_secrets(directory)
    changed = directory / "redis_password"
    changed.unlink()
    changed.write_text("a-new-one\n")
    assert make_secrets(directory) == []
    after = contents(directory)
    assert ":a-new-one@redis:" in after["redis_url"]
    assert f"#{hashlib.sha256(b'a-new-one').hexdigest()} " in after["redis_users"]
