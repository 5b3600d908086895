"""Whatever study A asks, the answer is the same whether or not there is a study B."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import hypothesis
import pytest
import redis
from hypothesis import strategies as st

from wearables_platform.api.access import Principal, Tokens
from wearables_platform.api.app import create_app
from wearables_platform.batch.messages import export_days
from wearables_platform.batch.zoom import build_zoom
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import event_day, to_us
from wearables_platform.settings import Settings
from wearables_platform.sql.migrate import migrate
from wearables_platform_tests.api_world import LONDON_TOKEN, NOW, TOKEN, Caller, World
from wearables_platform_tests.lake_rig import DAY_US, ListedArchive, document, noise
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates
from wearables_platform_tests.servers import TestServers, fresh_database

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

REDIS_DATABASES = {"alone": 8, "together": 9}
# London's people wear `london-n-watch`; the last of these was worn in Paris until then.
HANDED_OVER = datetime(2026, 3, 30, 6, 30, tzinfo=UTC)
DAY = date(2026, 3, 30)
HOUR = timedelta(hours=1)
PEOPLE = 3


@pytest.fixture(scope="module")
def callers(
    servers: TestServers, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Caller, Caller]]:
    """London's token, on a platform of London alone and on one that Paris shares."""
    made = []
    with ExitStack() as databases:
        for name, number in REDIS_DATABASES.items():
            url = databases.enter_context(contextmanager(fresh_database)(servers.url("postgres")))
            migrate(url)
            live_url = redis_url.rsplit("/", 1)[0] + f"/{number}"
            with redis.Redis.from_url(live_url) as connection:
                connection.flushdb()
            writer = LatestWriter(live_url, "isolation")
            fill(World(url), writer, paris=name == "together")
            writer.close()
            directory = tmp_path_factory.mktemp(name)
            fill_lake(Lake(FileObjects(directory)), paris=name == "together")
            made.append(londoner(url, live_url, directory.as_uri()))
        yield made[0], made[1]


def londoner(sql_url: str, live_url: str, lake_url: str) -> Caller:
    # Groups of two are shown: the less is hidden, the more a foreign row would show.
    settings = Settings(sql_url=sql_url, redis_url=live_url, api_token=TOKEN, min_group_size=2, lake_url=lake_url)
    operator = Principal("operator", None, "operator")
    tokens = Tokens({LONDON_TOKEN: Principal("london", frozenset({"london"})), TOKEN: operator})
    app = create_app(settings, LatestReader(live_url, "isolation"), clock=lambda: NOW, tokens=tokens)
    return Caller(app.test_client(), LONDON_TOKEN)


def fill(world: World, live: LatestWriter, *, paris: bool) -> None:
    """London's rows, the same either way; and Paris's, of every kind, at the same times and with the same watch."""
    studies = ("london", "paris") if paris else ("london",)
    for study in studies:
        world.study(study)
        for n in range(PEOPLE):
            device_id = world.person(f"{study}-{n}", study, sex=("male", "female")[n % 2])
            measure(world, live, f"{study}-{n}", device_id, HANDED_OVER + timedelta(minutes=30))
    shared = "london-2-watch"
    world.execute("UPDATE registry.assignments SET valid_from = %s WHERE device_id = %s", [(HANDED_OVER, shared)])
    if paris:
        world.execute(
            "INSERT INTO registry.assignments VALUES (%s, 'paris-2', %s, %s)",
            [(shared, HANDED_OVER - 30 * HOUR, HANDED_OVER)],
        )
        measure_device(world, shared, HANDED_OVER - 4 * HOUR)
        say(live, shared, HANDED_OVER - HOUR, "status", {"status_time_us": 0, "battery_percent": 7})
        say(live, shared, HANDED_OVER - HOUR, "spike")


def measure(world: World, live: LatestWriter, person: str, device_id: str, at: datetime) -> None:
    world.day(person, DAY, 5000, zone="UTC")
    world.activity(person, DAY, mvpa_s=1800, steps=4000)
    world.segment(person, at, "walking")
    world.unusual(person, at)
    measure_device(world, device_id, at)
    say(live, device_id, at, "motion", {"time_us": 0, "append_us": 0, "sequence": 1, "vm_g": 1.5})
    say(live, device_id, at, "spike")


def measure_device(world: World, device_id: str, at: datetime) -> None:
    world.heart_rates(device_id, [(at + timedelta(minutes=minute), 60.0 + minute) for minute in range(9)])
    world.steps(device_id, [(at, timedelta(minutes=10), 321)])
    world.windows(device_id, at, 30)
    world.hour(device_id, at.replace(minute=0), 99)
    world.anomaly(device_id, "spike", at, at)
    world.gap(device_id, at, first=at.minute)


def fill_lake(lake: Lake, *, paris: bool) -> None:
    """London's watches in the lake; and Paris's, later ones too, and what the shared watch measured there."""
    measured = [(f"london-{n}-watch", HANDED_OVER + timedelta(minutes=30)) for n in range(PEOPLE)]
    if paris:
        measured += [(f"paris-{n}-watch", HANDED_OVER + timedelta(minutes=35)) for n in range(PEOPLE)]
        measured += [
            ("london-2-watch", HANDED_OVER - timedelta(seconds=45)),
            ("paris-0-watch", HANDED_OVER - 30 * HOUR),
        ]
    found = {
        day: [
            document(device_id, (to_us(at) - DAY_US) // 1_000_000 + second, samples=noise(100), rate_hz=100.0)
            for device_id, at in measured
            for second in range(45 if at < HANDED_OVER else 90)
            if event_day(to_us(at)) == day
        ]
        for day in sorted({event_day(to_us(at)) for _, at in measured})
    }
    for day, documents in found.items():
        export_days(ListedArchive(documents, day=day), lake, ACCELERATION, [day])
        build_zoom(lake, day)


def say(live: LatestWriter, device_id: str, at: datetime, group: str, fields: dict[str, Any] | None = None) -> None:
    time_us = to_us(at)
    if fields is None:
        live.add_anomalies({f"{device_id}:{time_us}": {"device_id": device_id, "kind": group, "start_us": time_us}})
        return
    timed = {name: time_us if name.endswith("_us") else value for name, value in fields.items()}
    trace = [(time_us, 1.5)] if group == "motion" else []
    write_updates(live, [LatestUpdate(device_id, group, time_us, 1, timed, trace)])


# The watch that changed hands, and who wears it now, are asked for most.
IDS = ["london-2"] * 5 + [f"{study}-{n}" for study in ("london", "paris") for n in range(PEOPLE)] + ["nobody"]
PATH_VALUES = {"device_id": [f"{name}-watch" for name in IDS], "participant_id": IDS}
INSTANTS = [(HANDED_OVER + hours * HOUR).isoformat() for hours in (-30, -5, -0.25, -0.01, 0, 0.25, 0.51, 1, 4)]
DAYS = [(DAY + timedelta(days=days)).isoformat() for days in (-2, -1, 0, 1)]
# A parameter that is new here has no values: the test then says so, and cannot be forgotten.
VALUES: dict[str, list[Any]] = {
    "limit": [1, 2, 100],
    "points": [10, 200],
    "as_of": INSTANTS,
    "kind": ["spike", "flat"],
    "by": ["age_group", "sex", "device_model"],
    "month": ["2026-03", "2026-02"],
    "measure": ["mvpa", "steps", "enmo"],
    "day": DAYS,
    "number": ["steps", "heart_rate", "activity"],
    "format": ["csv", "ndjson", "parquet"],
    "rows": ["full", "compact"],
    "participant": IDS,
    "device": PATH_VALUES["device_id"],
}
# Where an event stands in Redis' own list differs from run to run.
ENTRY_ID = re.compile(r'"id": ?"\d+-\d+",|^id: .*$', re.MULTILINE)
NOT_DRAWN = {"cursor"}  # it comes from the answer before


@st.composite
def requests(draw: st.DrawFn, paths: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A route of the document, its path and its parameters filled in."""
    route = draw(st.sampled_from(sorted(paths)))
    path = re.sub(r"{(\w+)}", lambda found: draw(st.sampled_from(PATH_VALUES[found[1]])), route)
    asked: dict[str, Any] = {}
    for parameter in paths[route]["get"].get("parameters", []):
        name = parameter["name"]
        if parameter["in"] != "query" or name in NOT_DRAWN:
            continue
        if parameter.get("required") or draw(st.booleans()):
            asked[name] = draw(st.sampled_from(values_of(name, parameter["schema"])))
    return path, asked


def values_of(name: str, schema: dict[str, Any]) -> list[Any]:
    if name in ("from", "to"):
        kinds = {one.get("format") for one in (schema, *schema.get("anyOf", []))}
        return DAYS if "date" in kinds else INSTANTS
    assert name in VALUES, f"parameter {name} is new: say which values it is asked with"
    return VALUES[name]


def answer(caller: Caller, path: str, asked: dict[str, Any]) -> tuple[int, Any]:
    response = caller.get(path, query_string=asked)
    if response.is_streamed and response.mimetype == "text/event-stream":
        frames = b"".join(islice(response.iter_encoded(), 4)).decode()
        response.close()
        return response.status_code, re.sub(ENTRY_ID, "", frames)
    if response.status_code == 200 and response.mimetype != "application/json":
        return response.status_code, response.data
    body = json.loads(re.sub(ENTRY_ID, "", response.text))
    assert isinstance(body, dict)
    body.pop("request_id", None)
    if body.get("next_cursor"):
        following = answer(caller, path, {**asked, "cursor": body["next_cursor"]})
        return response.status_code, (body, following)
    return response.status_code, body


def test_the_routes_are_all_in_the_document_the_requests_are_drawn_from(callers: tuple[Caller, Caller]) -> None:
    client = callers[0].client
    document = client.get("/openapi/openapi.json").json
    assert document is not None
    rules = {rule.rule for rule in client.application.url_map.iter_rules() if rule.rule.startswith("/v1")}
    assert {re.sub(r"<(\w+)>", r"{\1}", rule) for rule in rules} == set(document["paths"])


@hypothesis.settings(max_examples=300, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(data=st.data())
def test_no_request_of_one_study_returns_a_row_of_another(callers: tuple[Caller, Caller], data: st.DataObject) -> None:
    alone, together = callers
    document = alone.client.get("/openapi/openapi.json").json
    assert document is not None
    path, asked = data.draw(requests(document["paths"]))
    assert answer(together, path, asked) == answer(alone, path, asked)


@pytest.mark.parametrize("route", ["/v1/devices", "/v1/anomalies/recent", "/v1/devices/london-2-watch/features"])
def test_to_those_who_see_every_study_the_shared_platform_has_more_to_say(
    callers: tuple[Caller, Caller], route: str
) -> None:
    alone, together = (len(Caller(caller.client, TOKEN).json(route, limit=1000)["items"]) for caller in callers)
    assert together > alone > 0


@pytest.mark.parametrize("begin_h", [-30, -5, -0.01, 0.25, 0.505])
@pytest.mark.parametrize("length_h", [0.001, 0.02, 1, 30])
@pytest.mark.parametrize("points", [10, 200, 10_000])
def test_the_signal_of_a_watch_that_changed_hands_is_drawn_as_if_it_had_not(
    callers: tuple[Caller, Caller], begin_h: float, length_h: float, points: int
) -> None:
    begin = HANDED_OVER + begin_h * HOUR
    asked = {"from": begin.isoformat(), "to": (begin + length_h * HOUR).isoformat(), "points": points}
    for device_id in ("london-0-watch", "london-2-watch"):
        alone, together = (answer(caller, f"/v1/devices/{device_id}/waveform", asked) for caller in callers)
        assert together == alone
        assert alone[0] == 200


def test_the_signal_is_drawn_from_the_lake_and_the_operator_sees_more_of_it(callers: tuple[Caller, Caller]) -> None:
    asked = {"from": INSTANTS[2], "to": INSTANTS[-2], "points": 1_000}
    route = "/v1/devices/london-2-watch/waveform"
    for caller in callers:
        assert "lake" in {part["source"] for part in caller.json(route, **asked)["parts"]}
    alone, together = (Caller(caller.client, TOKEN).json(route, **asked) for caller in callers)
    first_us = [min(part["time_us"][0] for part in found["parts"]) for found in (alone, together)]
    assert first_us[1] < to_us(HANDED_OVER) <= first_us[0]
