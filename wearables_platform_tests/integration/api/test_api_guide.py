"""`docs/api.md` names what is there, and nothing that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wearables_platform.api import live, parameters, process
from wearables_platform_tests.api_world import Caller

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_every_operation_is_in_the_guide_and_every_one_there_exists(caller: Caller) -> None:
    document = caller.client.get("/openapi/openapi.json").json
    assert document is not None
    assert set(re.findall(r"^\| `GET (/v1/[^`?]+)`", GUIDE, flags=re.MULTILINE)) == set(document["paths"])


def test_every_live_event_is_in_the_guide() -> None:
    source = Path(live.__file__).read_text()
    sent = set(re.findall(r"_frame\(\s*\"(\w+)\"", source))
    section = GUIDE.split("## The live stream")[1].split("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) == sent


def test_the_numbers_in_the_guide_are_those_in_the_code() -> None:
    assert f"(1 to {parameters.MAX_PAGE:,}, default {parameters.DEFAULT_PAGE})" in GUIDE
    assert f"Up to {live.MAX_STREAMS} streams" in GUIDE
    assert f"One process serves {live.MAX_STREAMS + process.REQUEST_THREADS} requests" in GUIDE


def test_the_kinds_of_problem_in_the_guide_are_those_in_the_code() -> None:
    package = Path(live.__file__).parent
    source = "\n".join(path.read_text() for path in package.glob("*.py"))
    raised = set(re.findall(r"RequestRefused\(\s*\d+,\s*\"([a-z-]+)\"", source))
    listed = GUIDE.split("| status |")[1].split("\n\n")[0]
    assert raised <= set(re.findall(r"`([a-z-]+)`", listed))
