"""The gate on skipped tests opens and shuts: run on a suite of its own, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wearables_platform_tests.schema import ROOT

SUITE = """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_skipped(number):
    pytest.skip("no such server here")

def test_passes():
    pass
"""
CONFTEST = "from wearables_platform_tests.not_proven import pytest_sessionfinish, pytest_terminal_summary\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def run(suite: Path, allowed: str | None = None, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_TEST_")}
    environment["PYTHONPATH"] = str(ROOT)
    if allowed is not None:
        (suite / "allowed.txt").write_text(allowed)
        environment["WEARABLES_TEST_ALLOWED_SKIPS"] = str(suite / "allowed.txt")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(suite)]
    return subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False)


def test_without_a_list_skips_are_told_and_allowed(suite: Path) -> None:
    outcome = run(suite)
    assert outcome.returncode == 0
    assert "not proven here" in outcome.stdout
    assert "   2 x no such server here" in outcome.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_a_skip_nobody_allowed_fails_the_run(suite: Path, workers: tuple[str, ...]) -> None:
    outcome = run(suite, "# only this one\nshared recordings absent\n", *workers)
    assert outcome.returncode == 1
    assert "NOT ALLOWED: no such server here" in outcome.stdout


def test_an_allowed_skip_passes(suite: Path) -> None:
    outcome = run(suite, "no such .* here\n")
    assert outcome.returncode == 0
    assert "NOT ALLOWED" not in outcome.stdout


def test_a_run_without_skips_says_so(suite: Path) -> None:
    outcome = run(suite, "", "-k", "passes")
    assert outcome.returncode == 0
    assert "nothing was skipped" in outcome.stdout
