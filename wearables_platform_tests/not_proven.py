"""What a test run did not prove, said at its end; in CI a skip nobody allowed fails the run.

The list names every skipped test's reason once, with its count. ``WEARABLES_TEST_ALLOWED_SKIPS`` names files of
regular expressions, one a line (several files as in PATH); a skip whose reason matches none of them turns the exit
status to failed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


def skip_reasons(reporter: Any) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    return reasons


def unexpected(reasons: Counter[str]) -> list[str]:
    allow_lists = os.environ.get("WEARABLES_TEST_ALLOWED_SKIPS")
    if allow_lists is None:
        return []
    lines = [line for name in allow_lists.split(os.pathsep) for line in Path(name).read_text().splitlines()]
    patterns = [re.compile(line) for line in lines if line.strip() and not line.startswith("#")]
    return [reason for reason in reasons if not any(pattern.search(reason) for pattern in patterns)]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = skip_reasons(terminalreporter)
    terminalreporter.section("not proven here")
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{count:4d} x {reason}")
    if not reasons:
        terminalreporter.line("   nothing was skipped")
    for reason in unexpected(reasons):
        terminalreporter.line(f"NOT ALLOWED: {reason}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and exitstatus == pytest.ExitCode.OK and unexpected(skip_reasons(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
