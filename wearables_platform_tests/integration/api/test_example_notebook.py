"""The example notebook runs on the API, and its answer is the one that was planted.

Its cells are plain Python without magics, so they are run one after the other as a kernel would, without Jupyter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from wearables_platform_tests.api_world import TOKEN, Caller, World
from wearables_platform_tests.client_rig import listening
from wearables_platform_tests.schema import ROOT

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

NOTEBOOK = json.loads((ROOT / "docs" / "examples" / "explore.ipynb").read_text())
SOURCES = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def noticed(caller: Caller, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the notebook's names hold after its last cell."""
    world.study("sleep")
    for person in ("less", "same", "drawer"):
        world.person(person, "sleep")
    today = datetime.now(UTC).date()
    for back in range(1, 29):
        day = today - timedelta(days=back)
        world.activity("same", day, mvpa_s=1_800, steps=8_000)
        world.activity("less", day, mvpa_s=600, steps=8_000 if back > 7 else 4_000)
        worn = back > 7
        world.activity("drawer", day, mvpa_s=0, steps=8_000 if worn else 10, status="valid" if worn else "short")
    world.day("less", today - timedelta(days=1), 4_100, zone="UTC")
    with listening(caller.client.application) as api, mpl.rc_context({"backend": "agg"}):
        monkeypatch.setenv("WEARABLES_API_URL", api.url)
        monkeypatch.setenv("WEARABLES_API_TOKEN", TOKEN)
        names: dict[str, Any] = {"__name__": "notebook"}
        for number, source in enumerate(SOURCES):
            exec(compile(source, f"cell {number}", "exec"), names)
        yield names
        names["client"].close()
        plt.close("all")


def test_who_moved_less_is_told_from_who_did_not_wear_the_watch(
    noticed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    people = noticed["people"]
    assert people["answer"].to_dict() == {"less": "moved less", "same": "as usual", "drawer": "not worn enough"}
    assert people.loc["less", "ratio"] == 0.5
    assert noticed["first"] == ["less"]
    assert noticed["evidence"].said_then.value == 4_100
    assert [axis.get_title() for axis in noticed["figure"].axes] == ["less: moved less"]


def test_the_notebook_is_stored_without_what_it_printed() -> None:
    assert [cell for cell in NOTEBOOK["cells"] if cell.get("outputs") or cell.get("execution_count")] == []
