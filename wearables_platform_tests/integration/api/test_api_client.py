"""The client on the API itself: no operation without a method, and tables that say what the replies say."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wearables_platform.api.participant_replies import DailyActivity
from wearables_platform.client import ApiProblem, Client, TypedClient, typed
from wearables_platform.client.tables import column_types
from wearables_platform.client.transport import Transport, written_parameters
from wearables_platform_tests.api_world import LONDON_TOKEN, NOW, TOKEN, Caller, World
from wearables_platform_tests.client_rig import Noted, listening

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

AT = datetime(2026, 3, 30, 10, tzinfo=UTC)
DAY = date(2026, 3, 30)
SPAN = {"from_time": AT, "to_time": AT + timedelta(hours=1)}


@pytest.fixture
def api(caller: Caller) -> Iterator[Noted]:
    with listening(caller.client.application) as noted:
        yield noted


@pytest.fixture
def client(api: Noted) -> Iterator[Client]:
    with Client(api.url, TOKEN) as found:
        yield found


class Asked(Exception):
    """What a method would have asked for."""

    def __init__(self, path: str, asked: Mapping[str, Any]) -> None:
        self.path, self.parameters = path, asked
        super().__init__(path)


class Asking(Transport):
    def get(self, path: str, asked: Mapping[str, Any]) -> bytes:
        raise Asked(path, asked)

    def streamed(self, path: str, asked: Mapping[str, Any], **_: Any) -> Any:
        raise Asked(path, asked)


GIVEN = {"device_id": "a-device", "participant_id": "a-person", "path": Path("x.csv")}


def asked_by(name: str) -> Asked:
    """What a method of the typed client asks for, called with something for each of its parameters."""
    with closing(TypedClient("http://127.0.0.1:1", TOKEN)) as client:
        client._transport = Asking("http://127.0.0.1:1", TOKEN)
        method = getattr(client, name)
        given = {one: GIVEN.get(one, NOW) for one in inspect.signature(method).parameters}
        with pytest.raises(Asked) as raised:
            next(method(**given))  # nothing is asked for a page before it is needed
    return raised.value


METHODS = sorted(name for name, _ in inspect.getmembers(TypedClient, inspect.isfunction) if name[0] != "_")


def test_every_operation_of_the_document_has_a_method_that_takes_its_parameters(caller: Caller) -> None:
    document = caller.client.get("/openapi/openapi.json").json
    assert document is not None
    found = {}
    for name in METHODS:
        if name == "close":
            continue
        asked = asked_by(name)
        path = asked.path.replace("a-device", "{device_id}").replace("a-person", "{participant_id}")
        found[path] = (name, asked.parameters)
    assert set(found) == set(document["paths"])
    for path, (name, parameters) in found.items():
        operation = document["paths"][path]["get"]
        documented = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        assert {next(iter(written_parameters({one: 1}))) for one in parameters} == documented, path
        answers = operation["responses"]["200"]["content"].get("application/json")
        if answers is not None:
            assert answers["schema"]["$ref"].rpartition("/")[2] in replies_of(name), path


def replies_of(name: str) -> set[str]:
    """The reply a method returns, or the page it takes the items it yields from."""
    returned = typing.get_type_hints(getattr(TypedClient, name))["return"]
    items = typing.get_args(returned)
    pages = re.findall(r"\b\w+Page\b", inspect.getsource(getattr(TypedClient, name)))
    return set(pages) if items else {returned.__name__}


def test_every_reply_has_a_table_but_those_that_are_no_rows() -> None:
    exports = {name for name in METHODS if name.endswith("_points")}
    assert set(METHODS) - set(vars(Client)) == exports | {"latest", "waveform", "live"}


def test_days_are_a_table_whose_columns_have_types_and_whose_missing_values_are_not_zero(
    client: Client, world: World
) -> None:
    world.study("sleep")
    world.person("p-001", "sleep", zone="Europe/Paris")
    world.day("p-001", DAY, 5000, zone="Europe/Paris")
    steps = client.steps_daily("p-001", from_day=DAY - timedelta(days=1), to_day=DAY)
    assert steps["local_day"].tolist() == [pd.Timestamp("2026-03-29"), pd.Timestamp("2026-03-30")]
    assert steps["step_count"].tolist() == [pd.NA, 5000]
    assert steps["hours_in_day"].tolist() == [23.0, 24.0]
    assert steps["day_start"].tolist()[1] == pd.Timestamp("2026-03-29T22:00:00Z")
    assert {name: str(kind) for name, kind in steps.dtypes.items()} == {
        "local_day": "datetime64[s]", "day_start": "datetime64[us, UTC]", "day_end": "datetime64[us, UTC]",
        "hours_in_day": "float64", "status": "str", "said_from": "datetime64[us, UTC]",
        "step_count": "Int64", "coverage": "float64",
    }  # fmt: skip
    assert (steps.attrs["participant_id"], steps.attrs["time_zone"]) == ("p-001", "Europe/Paris")
    assert steps.attrs["columns"]["coverage"] == "Share of the day covered by step reports, 0 to 1."


def test_a_table_without_rows_has_the_same_columns_and_types(client: Client, world: World) -> None:
    world.study("sleep")
    world.person("p-001", "sleep")
    nothing = client.activity_daily("p-001", from_day=DAY + timedelta(days=9))
    assert len(nothing) == 0
    assert {name: str(kind) for name, kind in nothing.dtypes.items()} == column_types(DailyActivity)


def test_all_pages_are_read_and_a_row_has_every_column_of_its_view(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed, "PAGE_ROWS", 7)
    world.study("sleep")
    device_id = world.person("p-001", "sleep")
    world.windows(device_id, AT, 20)
    found = client.features(device_id)
    assert found["window_start"].tolist() == list(pd.date_range(AT, periods=20, freq="s"))
    assert found["enmo_mg"].tolist() == list(range(20))
    assert "vm_mean_g" in found.columns
    assert [one.device_id for one in client.typed.devices()] == [device_id]


def test_an_export_is_a_table_or_a_file_and_both_are_the_same(client: Client, world: World, tmp_path: Path) -> None:
    world.study("sleep")
    world.windows(world.person("p-001", "sleep"), AT, 50)
    found = client.export_features(**SPAN)
    assert (len(found), found["window_start"].dtype.tz is not None) == (50, True)
    saved = client.typed.export_features(tmp_path / "features.parquet", **SPAN)
    pd.testing.assert_frame_equal(pd.read_parquet(saved), found)
    lines = client.typed.export_features(tmp_path / "features.ndjson", **SPAN).read_text().splitlines()
    assert len(lines) == 50


def test_what_else_there_is_has_a_table(client: Client, world: World) -> None:
    world.study("sleep")
    device_id = world.person("p-001", "sleep")
    world.heart_rates(device_id, [(AT, 61.5)])
    world.day("p-001", DAY, 5000, zone="UTC")
    world.activity("p-001", DAY, mvpa_s=60, steps=100)
    assert client.explain("p-001", day=DAY, number="heart_rate")["readings"].tolist() == [1]
    said = client.typed.explain("p-001", day=DAY, number="steps")
    assert (said.number, said.unit) == ("steps", "{steps}")
    groups = client.cohort_activity(measure="steps")
    assert groups["hidden"].dtype == np.bool_
    assert groups.attrs["unit"]
    assert client.activity_daily("p-001")["wear"].dropna().tolist() == ["valid"]
    assert client.recent_anomalies().empty
    points = list(client.typed.heart_rate_points(**SPAN))
    assert [point["body"]["heart_rate"]["value"] for point in points] == [61.5]
    assert next(client.typed.live()).event == "hello"


def test_a_token_sees_its_studies_and_a_refusal_names_its_request(api: Noted, client: Client, world: World) -> None:
    for study in ("london", "paris"):
        world.study(study)
        world.person(study, study)
    with Client(api.url, LONDON_TOKEN) as londoner:
        assert londoner.devices()["study_id"].tolist() == ["london"]
        with pytest.raises(ApiProblem) as raised:
            londoner.steps_daily("paris")
    assert (raised.value.status, raised.value.kind) == (404, "not-found")
    assert raised.value.request_id
