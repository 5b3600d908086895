"""What the docs tell people to type and to follow works; nothing tracked names the machine it was written on."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import typer.main

from wearables_platform.cli import COMMANDS, build_app
from wearables_platform_tests.schema import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SHELL = ("bash", "sh", "shell", "console")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)")


class Block(NamedTuple):
    """A fenced block: the page, the language, the text."""

    page: str
    language: str
    text: str


def blocks() -> list[Block]:
    return [Block(page.name, *found) for page in PAGES for found in FENCE.findall(page.read_text())]


def typed(block: Block) -> list[str]:
    """The commands of a block, continued lines joined; of a console block what stands behind the prompt."""
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    if block.language == "console":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return list(_whole_commands(line for line in lines if line.strip() and not line.lstrip().startswith("#")))


def _whole_commands(lines: Iterator[str]) -> Iterator[str]:
    """Join lines while a quotation is open."""
    command = ""
    for line in lines:
        command = f"{command}\n{line}" if command else line
        try:
            shlex.split(command)
        except ValueError:
            continue
        yield command
        command = ""
    assert not command, f"a quotation is never closed: {command}"


def words(command: str) -> list[list[str]]:
    """The simple commands in a line, each as its words without variables set in front."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    simple: list[list[str]] = [[]]
    for word in lexer:
        if word in ("|", "&&", ";", "||", "&", ">", "<", "(", ")"):
            simple.append([])
        elif simple[-1] or not re.match(r"[A-Z_]+=", word):
            simple[-1].append(word)
    return [command for command in simple if command]


def shell_commands() -> list[tuple[str, list[str]]]:
    return [
        (f"{block.page}: {line}", command)
        for block in blocks()
        if block.language in SHELL
        for line in typed(block)
        for command in words(line)
    ]


def inline_commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for found in re.findall(r"`((?:wearables|make) [a-z][^`\n]*)`", FENCE.sub("", page.read_text())):
            # [--json] and NAME in a synopsis stand for what may be given.
            yield f"{page.name}: {found}", re.sub(r"[\[\]]", " ", found).split()


def all_commands(program: str) -> dict[str, list[str]]:
    return {place: words for place, words in [*shell_commands(), *inline_commands()] if Path(words[0]).name == program}


@cache
def command_of(name: str) -> click.Command:
    group = typer.main.get_command(build_app(name))
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    command: click.Command = group.commands[name]
    return command


def complaint(command: list[str]) -> str | None:
    """What is wrong with a `wearables` command line, by the names of its command and options."""
    name = next((word for word in command[1:] if not word.startswith("-")), None)
    if name is None:
        return None
    if name not in COMMANDS:
        return f"no command {name}"
    found = command_of(name)
    members: dict[str, click.Command] | None = getattr(found, "commands", None)
    if members is not None:
        name = next((word for word in command[2:] if not word.startswith("-")), "")
        if not name:
            return None
        if name not in members:
            return f"{command[1]} has no command {name}"
        found = members[name]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0].rstrip(",.;") for word in command if word.startswith("--")}
    unknown = given - known - {"--help"}
    return f"{name} has no {sorted(unknown)}" if unknown else None


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_wearables_commands_in_the_docs_exist_with_their_options() -> None:
    found = all_commands("wearables")
    assert len(found) >= 10
    assert {place: wrong for place, command in found.items() if (wrong := complaint(command))} == {}


def test_a_misspelt_command_or_option_is_noticed() -> None:
    assert complaint(["wearables", "stauts"]) == "no command stauts"
    assert complaint(["wearables", "status", "--jsn"]) == "status has no ['--jsn']"
    assert complaint(["wearables", "status", "--json"]) is None
    assert complaint(["wearables", "models", "promot"]) == "models has no command promot"
    assert complaint(["wearables", "models", "rollback", "x", "--why"]) == "rollback has no ['--why']"


def test_make_targets_in_the_docs_exist() -> None:
    found = all_commands("make")
    assert found
    targets = {place: next((word for word in words[1:] if "=" not in word), "") for place, words in found.items()}
    assert {place for place, target in targets.items() if target and target not in make_targets()} == set()


def test_modules_the_docs_run_exist() -> None:
    modules = {
        command[command.index("-m") + 1]
        for _, command in shell_commands()
        if "python" in command[0] and "-m" in command
    }
    assert {module for module in modules if importlib.util.find_spec(module) is None} == set()


def test_shell_blocks_are_shell() -> None:
    for block in blocks():
        if block.language in SHELL:
            script = "\n".join(typed(block))
            checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
            assert checked.returncode == 0, f"{block.page}: {checked.stderr}"


def test_python_blocks_are_python() -> None:
    for block in blocks():
        if block.language == "python":
            compile(block.text, block.page, "exec")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in LINK.findall(FENCE.sub("", page.read_text())):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def tracked_text() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files are ours is not known")
    for name in filter(None, listed.stdout.decode().split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content:
            yield name, content.decode()


def test_no_tracked_file_names_the_machine_it_was_written_on() -> None:
    home = re.compile(r"(?<![\w.}])/(?:work|root|home/\w+|Users/\w+)/")
    assert [name for name, text in tracked_text() if home.search(text)] == []


def test_no_tracked_file_is_a_merge_left_halfway_or_holds_a_key() -> None:
    marks = re.compile(r"^(?:<{7} |>{7} |-{5}BEGIN [A-Z ]*PRIVATE KEY)", re.MULTILINE)
    assert [name for name, text in tracked_text() if marks.search(text)] == []
