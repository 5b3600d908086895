"""Docs name what exists: every setting, command, exit code, server and process; the settings table is generated.

``python -m wearables_platform_tests.test_docs`` writes the table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wearables_platform.cli import COMMANDS
from wearables_platform.local.failures import ExitCode
from wearables_platform.local.processes import ENTRY_POINTS
from wearables_platform.local.servers import SERVER_NAMES
from wearables_platform.settings import Settings

RUNNING = Path(__file__).resolve().parents[1] / "docs" / "running.md"
TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)


def settings_table() -> str:
    lines = ["| variable | default | meaning |\n", "|---|---|---|\n"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`"
        lines.append(f"| `WEARABLES_{name.upper()}` | {default} | {field.description} |\n")
    return "".join(lines)


def test_the_settings_table_is_fresh() -> None:
    found = TABLE.search(RUNNING.read_text())
    assert found is not None
    assert found.group() == settings_table(), "run: python -m wearables_platform_tests.test_docs"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"`wearables {command}" in RUNNING.read_text() or f"`{command}`" in RUNNING.read_text()


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    assert re.search(rf"^\| {code.value} \| ", RUNNING.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", [*SERVER_NAMES, *ENTRY_POINTS])
def test_every_server_and_process_is_documented(name: str) -> None:
    assert name in RUNNING.read_text().lower()


if __name__ == "__main__":
    RUNNING.write_text(TABLE.sub(lambda _: settings_table(), RUNNING.read_text()))
