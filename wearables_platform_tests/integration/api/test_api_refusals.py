"""What the API refuses, and that every refusal is a problem document that gives nothing away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from wearables_platform.api.app import create_app
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.domain.time_policy import to_us
from wearables_platform.errors import ConfigError
from wearables_platform.local.ports import free_ports
from wearables_platform.settings import Settings
from wearables_platform_tests.api_world import LONDON_TOKEN, NOW, TOKEN, Caller, World
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

START = datetime(2026, 3, 29, 10, tzinfo=UTC)


@pytest.fixture
def device_id(world: World) -> str:
    world.study("sleep")
    return world.person("one", "sleep")


def test_no_operation_answers_without_a_known_token(caller: Caller, device_id: str) -> None:
    paths = list(caller.client.get("/openapi/openapi.json").json["paths"])  # type: ignore[index]
    assert len(paths) >= 11
    for path in paths:
        path = path.replace("{device_id}", device_id).replace("{participant_id}", "one")
        problem = Caller(caller.client, None).problem(path, 401)
        assert "token" in problem["detail"]
        assert Caller(caller.client, TOKEN + "x").problem(path, 401)["type"].endswith(":unauthenticated")


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer \xe9"]
)
def test_a_malformed_token_is_refused_with_a_challenge(caller: Caller, header: str) -> None:
    response = caller.client.get("/v1/devices", headers={"Authorization": header})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("path", "parameters", "at_fault"),
    [
        ("/v1/devices", {"limit": 0}, "limit"),
        ("/v1/devices", {"limit": 1001}, "limit"),
        ("/v1/devices", {"limit": "many"}, "limit"),
        ("/v1/devices", {"limt": 5}, "limt"),
        ("/v1/devices/a.b/latest", {}, "device_id"),
        ("/v1/devices/one-watch/latest", {"as_of": "yesterday"}, "as_of"),
        ("/v1/devices/one-watch/latest", {"as_of": "1774742400"}, "as_of"),
        ("/v1/participants/one/steps/daily", {"to": "0"}, "to"),
        ("/v1/devices/one-watch/features", {"from": "2026-03-29T10:00:00"}, "from"),
        ("/v1/devices/one-watch/features", {"from": "2026-03-29T10:00:00Z", "to": "2026-03-29T10:00:00Z"}, "to"),
        ("/v1/devices/one-watch/anomalies", {"kind": "spike'; --"}, "kind"),
        ("/v1/participants/one/steps/daily", {"from": "2026-02-30"}, "from"),
        ("/v1/participants/one/steps/daily", {"from": "2026-03-02", "to": "2026-03-01"}, "to"),
        ("/v1/participants/one/steps/daily", {"from": "2020-01-01"}, "from"),
        ("/v1/participants/one/steps/daily", {"to": "0001-01-05"}, "to"),
        ("/v1/cohorts/heart-rate", {"by": "height"}, "by"),
        ("/v1/cohorts/activity", {"measure": "weight"}, "measure"),
        ("/v1/participants/one/steps/hourly", {"from": "2026-01-01"}, "from"),
        ("/v1/cohorts/heart-rate", {"month": "2026-13"}, "month"),
        # A range of days could be moved one day at a time; the difference of two means is one person's value.
        ("/v1/cohorts/heart-rate", {"from": "2026-03-01", "to": "2026-03-14"}, "from"),
        ("/v1/live/stream", {"device": "../x"}, "device"),
    ],
)  # fmt: skip
def test_a_parameter_at_fault_is_named(
    caller: Caller, device_id: str, path: str, parameters: dict[str, Any], at_fault: str
) -> None:
    problem = caller.problem(path, 400, **parameters)
    assert problem["type"] == "urn:wearables-platform:problem:invalid-parameter"
    assert at_fault in [parameter["name"] for parameter in problem["parameters"]]
    assert at_fault in problem["detail"]
    assert problem["instance"] == path


def test_what_is_not_there_is_a_problem_too(caller: Caller, device_id: str) -> None:
    for path in ("/v1/devices/nobody/latest", "/v1/participants/nobody/steps/daily", "/v1/nothing", "/nothing"):
        assert caller.problem(path, 404)["title"] == "Not Found"
    response = caller.client.post("/v1/devices", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (response.status_code, response.mimetype) == (405, "application/problem+json")
    assert "GET" in response.headers["Allow"]


def test_a_request_id_is_kept_if_it_is_harmless_and_replaced_if_not(caller: Caller) -> None:
    assert caller.get("/v1/devices", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    replaced = caller.get("/v1/devices", headers={"X-Request-ID": "a b\tc"}).headers["X-Request-ID"]
    assert len(replaced) == 32


def test_an_answer_already_had_is_not_sent_again(caller: Caller, device_id: str) -> None:
    first = caller.get("/v1/devices")
    again = caller.get("/v1/devices", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert "private" in first.headers["Cache-Control"]


def test_a_store_that_is_away_is_a_problem_to_retry_and_names_nothing(world: World, live_url: str) -> None:
    (port,) = free_ports(1)
    away = f"postgresql://secret-user:secret-word@127.0.0.1:{port}/none"
    settings = Settings(sql_url=away, redis_url=f"redis://127.0.0.1:{port}/0", api_token=TOKEN)
    caller = Caller(create_app(settings, LatestReader(f"redis://127.0.0.1:{port}/0", "t")).test_client())
    for path in ("/v1/devices", "/v1/anomalies/recent"):
        response = caller.get(path)
        assert (response.status_code, response.mimetype) == (503, "application/problem+json")
        assert int(response.headers["Retry-After"]) > 0
        assert "secret" not in response.text
        assert str(port) not in response.text
    ready = caller.client.get("/health/ready")
    assert (ready.status_code, ready.json) == (
        503, {"status": "not ready", "checks": {"sql": "unavailable", "redis": "unavailable"}},
    )  # fmt: skip
    assert caller.client.get("/health/live").status_code == 200


def test_ready_says_so_and_figures_count_the_requests(caller: Caller) -> None:
    assert caller.client.get("/health/ready").json == {"status": "ready", "checks": {"sql": "ready", "redis": "ready"}}
    caller.json("/v1/devices")
    assert 'wearables_api_requests_total{route="/v1/devices",status="200"} 1.0' in caller.client.get("/metrics").text


def test_without_a_token_in_the_settings_there_is_no_api(live_url: str) -> None:
    with pytest.raises(ConfigError, match="WEARABLES_API_TOKEN"):
        create_app(Settings(sql_url="postgresql://x", redis_url=live_url), LatestReader(live_url, "t"))


def test_the_api_can_only_read(caller: Caller) -> None:
    from wearables_platform.api.services import EXTENSION
    from wearables_platform.errors import StoreRefused

    client = caller.client.application.extensions[EXTENSION].reads._client
    with pytest.raises(StoreRefused, match="read-only"):
        client.execute("INSERT INTO registry.studies VALUES ('x', 'x')")


def test_whoever_may_see_one_study_sees_nothing_of_another(caller: Caller, world: World, live: LatestWriter) -> None:
    now_us = to_us(NOW)
    for study in ("london", "paris"):
        world.study(study)
        for n in range(5):
            device_id = world.person(f"{study}-{n}", study)
            world.heart_rates(device_id, [(START, 60.0 if study == "london" else 100.0)])
            write_updates(
                live, [LatestUpdate(device_id, "motion", now_us, n, {"time_us": now_us, "append_us": now_us})]
            )
            live.add_anomalies({f"{device_id}:spike": {"device_id": device_id, "kind": "spike", "start_us": now_us}})
    londoner = Caller(caller.client, LONDON_TOKEN)
    mine = [f"london-{n}-watch" for n in range(5)]
    assert [item["device_id"] for item in londoner.all_pages("/v1/devices", limit=2)] == mine
    assert {item["device_id"] for item in londoner.json("/v1/anomalies/recent", limit=3)["items"]} <= set(mine)
    groups = {group["age_group"]: group for group in londoner.json("/v1/cohorts/heart-rate")["groups"]}
    assert (groups["30-39"]["heart_rate_mean_bpm"], groups["30-39"]["n_people"]) == (60.0, 5)
    for path in ("latest", "features", "anomalies"):
        londoner.json(f"/v1/devices/london-0-watch/{path}")
        foreign = londoner.problem(f"/v1/devices/paris-0-watch/{path}", 404)
        assert foreign["detail"] == londoner.problem(f"/v1/devices/nobody/{path}", 404)["detail"].replace(
            "nobody", "paris-0-watch"
        )
    for path in ("steps/daily", "heart-rate/daily"):
        londoner.json(f"/v1/participants/london-0/{path}")
        londoner.problem(f"/v1/participants/paris-0/{path}", 404)
    londoner.problem("/v1/live/stream", 404, device="paris-0-watch")
    londoner.problem("/v1/stages", 403)
    assert {item["device_id"] for item in caller.json("/v1/anomalies/recent")["items"]} > set(mine)
