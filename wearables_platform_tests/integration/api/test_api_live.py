"""The live stream: what changed and nothing twice, bounded, and gone when the process stops."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from wearables_platform.api.latest import FleetView
from wearables_platform.api.live import FLEET_EVERY_TICKS, MAX_STREAMS, PLATFORM_EVERY_TICKS, LiveStream
from wearables_platform.api.services import EXTENSION, Services
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.domain.time_policy import to_us
from wearables_platform.local.ports import free_ports
from wearables_platform_tests.api_process import ApiProcess
from wearables_platform_tests.api_world import NOW, TOKEN, Caller, World
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.redis, pytest.mark.integration]

NOW_US = to_us(NOW)
Event = tuple[str, str | None, dict[str, Any]]


def _parse(frame: bytes) -> Event:
    fields = dict(line.split(": ", 1) for line in frame.decode().strip().splitlines())
    return fields["event"], fields.get("id"), json.loads(fields["data"])


class Reader:
    """Reads a live stream tick by tick, without waiting."""

    def __init__(self, url: str, **options: Any) -> None:
        view = FleetView(LatestReader(url, "live-tests"), interval_s=0.0, max_devices=100)
        known = {"device_id": None, "limit": 100, "visible": None, "platform": lambda: {"models": {}}}
        self.stream = LiveStream(view, lambda: NOW, **{**known, **options})
        self.frames = self.stream.frames(threading.Event(), tick_s=0.0)

    def until(self, kind: str) -> tuple[str | None, dict[str, Any]]:
        for frame in self.frames:
            event, entry_id, data = _parse(frame)
            if event == kind:
                return entry_id, data
        raise AssertionError(kind)

    def fleet(self) -> dict[str, Any]:
        return self.until("fleet")[1]


# A device's place among the newest is moved when its guard's upper digits change: every 17 s.
REORDERED_AFTER_US = 17_000_000


def _moved(writer: LatestWriter, device_id: str, time_us: int, *points: tuple[int, float]) -> None:
    fields = {"time_us": time_us, "append_us": time_us, "sequence": time_us, "vm_g": 1.0}
    write_updates(writer, [LatestUpdate(device_id, "motion", time_us, time_us, fields, points)])


def test_a_stream_begins_with_the_whole_fleet_and_then_sends_what_changed(live: LatestWriter, live_url: str) -> None:
    for n in range(3):
        _moved(live, f"d{n}", NOW_US - 10 - n)
    reader = Reader(live_url)
    first = reader.fleet()
    assert ([row["device_id"] for row in first["changed"]], first["total"]) == (["d0", "d1", "d2"], 3)
    assert reader.fleet()["changed"] == []  # a tick all the same: the reader knows the connection lives
    _moved(live, "d1", NOW_US)
    assert [row["device_id"] for row in reader.fleet()["changed"]] == ["d1"]


def test_a_device_that_falls_silent_is_sent_once_more_to_say_so(live: LatestWriter, live_url: str) -> None:
    _moved(live, "d0", NOW_US)
    reader = Reader(live_url)
    assert [row["freshness"] for row in reader.fleet()["changed"]] == ["live"]
    reader.stream.clock = lambda: NOW + timedelta(minutes=1)
    assert [(row["freshness"], row["stale"]) for row in reader.fleet()["changed"]] == [("silent", True)]
    assert reader.fleet()["changed"] == []


def test_only_the_devices_seen_last_are_sent_and_those_that_drop_out_are_named(
    live: LatestWriter, live_url: str
) -> None:
    for n in range(3):
        _moved(live, f"d{n}", NOW_US - (3 - n) * REORDERED_AFTER_US)
    reader = Reader(live_url, limit=2)
    first = reader.fleet()
    assert ([row["device_id"] for row in first["changed"]], first["total"]) == (["d2", "d1"], 3)
    _moved(live, "d0", NOW_US)
    second = reader.fleet()
    assert ([row["device_id"] for row in second["changed"]], second["gone"]) == (["d0"], ["d1"])


def test_compact_rows_say_what_full_ones_say(live: LatestWriter, live_url: str) -> None:
    _moved(live, "d0", NOW_US)
    compact = Reader(live_url, compact=True)
    columns = compact.until("hello")[1]["columns"]
    (row,) = compact.fleet()["changed"]
    said = dict(zip(columns, row, strict=True))
    assert said == {
        "device_id": "d0", "freshness": 0, "event_time_ms": NOW_US // 1_000, "received_time_ms": NOW_US // 1_000,
        "heart_rate_bpm": None, "vm_g": 1.0, "enmo_mg": None, "anomaly_score": None, "battery_percent": None,
        "worn": None,
    }  # fmt: skip
    assert Reader(live_url).fleet()["changed"][0]["vm_g"] == said["vm_g"]


def test_where_more_changes_than_a_frame_holds_each_device_has_its_turn(
    live: LatestWriter, live_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wearables_platform.api.live.MAX_CHANGED", 2)
    names = [f"d{n}" for n in range(5)]
    for name in names:
        _moved(live, name, NOW_US)
    reader = Reader(live_url)
    assert len(reader.fleet()["changed"]) == 5  # the first has all
    told: list[str] = []
    for turn in range(1, 6):
        for name in names:
            _moved(live, name, NOW_US + turn)
        changed = [row["device_id"] for row in reader.fleet()["changed"]]
        assert len(changed) == 2
        told += changed
    assert sorted(told) == sorted(names * 2)


def test_the_device_asked_for_is_told_in_full_and_only_when_it_changes(live: LatestWriter, live_url: str) -> None:
    _moved(live, "d0", NOW_US)
    reader = Reader(live_url, device_id="d0")
    assert reader.until("device")[1]["vm_g"] == 1.0
    reader.fleet()
    kinds = [_parse(next(reader.frames))[0] for _ in range(FLEET_EVERY_TICKS)]
    assert "device" not in kinds
    _moved(live, "d0", NOW_US + 1)
    assert reader.until("device")[1]["sequence"] == NOW_US + 1


def test_a_trace_sends_each_point_once(live: LatestWriter, live_url: str) -> None:
    _moved(live, "d0", NOW_US, (NOW_US - 80_000, 1.0), (NOW_US - 40_000, 1.5))
    reader = Reader(live_url, device_id="d0")
    first = reader.until("trace")[1]
    assert (first["restart"], first["points"]) == (True, [[NOW_US - 80_000, 1.0], [NOW_US - 40_000, 1.5]])
    _moved(live, "d0", NOW_US + 1, (NOW_US - 40_000, 1.5), (NOW_US, 2.0))
    second = reader.until("trace")[1]
    assert (second["restart"], second["points"]) == (False, [[NOW_US, 2.0]])


def test_a_reader_who_comes_back_gets_the_events_missed_and_no_other(live: LatestWriter, live_url: str) -> None:
    def announce(n: int) -> None:
        live.add_anomalies({f"e{n}": {"device_id": f"d{n}", "kind": "spike", "start_us": NOW_US + n}})

    announce(0)
    last_id, first = Reader(live_url).until("anomalies")
    assert [item["device_id"] for item in first["items"]] == ["d0"]
    announce(1)
    announce(2)
    _, missed = Reader(live_url, last_anomaly_id=last_id).until("anomalies")
    assert [item["device_id"] for item in missed["items"]] == ["d2", "d1"]


@pytest.mark.sql
@pytest.mark.parametrize("forged", ["0", "-", "1-1; --", "1" * 40 + "-1"])
def test_an_event_id_that_is_none_is_refused(caller: Caller, forged: str) -> None:
    response = caller.get("/v1/live/stream", headers={"Last-Event-ID": forged})
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert "Last-Event-ID" in response.text


def test_many_events_between_two_visits_are_all_sent(live: LatestWriter, live_url: str) -> None:
    live.add_anomalies({"first": {"device_id": "d", "kind": "spike", "start_us": NOW_US}})
    last_id, _ = Reader(live_url).until("anomalies")
    live.add_anomalies({f"e{n}": {"device_id": f"d{n}", "kind": "spike", "start_us": NOW_US + n} for n in range(400)})
    _, missed = Reader(live_url, last_anomaly_id=last_id).until("anomalies")
    assert [item["device_id"] for item in missed["items"]] == [f"d{n}" for n in reversed(range(400))]


def test_values_json_does_not_know_are_left_out(live: LatestWriter, live_url: str) -> None:
    live.add_anomalies({"e": {"device_id": "d0", "kind": "spike", "start_us": NOW_US, "peak_g": float("nan")}})
    _moved(live, "d0", NOW_US, (NOW_US - 40_000, float("nan")), (NOW_US, 1.0))
    reader = Reader(live_url, device_id="d0")
    assert reader.until("anomalies")[1]["items"][0]["peak_g"] is None
    assert reader.until("trace")[1]["points"] == [[NOW_US, 1.0]]


def test_the_platform_is_told_at_the_start_and_now_and_then(live_url: str) -> None:
    reader = Reader(live_url)
    for _ in range(2):
        assert reader.until("platform")[1] == {"models": {}}
    assert PLATFORM_EVERY_TICKS % FLEET_EVERY_TICKS == 0


@pytest.mark.timeout(60)
def test_a_reader_is_told_when_the_live_store_goes_away(start_server: StartServer) -> None:
    server = start_server("redis")
    reader = Reader(server.url)
    assert reader.fleet()["total"] == 0
    server.stop()
    assert "does not answer" in reader.until("unavailable")[1]["detail"]


@pytest.mark.sql
def test_streams_are_bounded_and_a_closed_one_makes_room(caller: Caller) -> None:
    served: Services = caller.client.application.extensions[EXTENSION]
    streams = [caller.get("/v1/live/stream", buffered=False) for _ in range(MAX_STREAMS)]
    assert {stream.status_code for stream in streams} == {200}
    refused = caller.get("/v1/live/stream")
    assert (refused.status_code, refused.mimetype) == (503, "application/problem+json")
    assert "Retry-After" in refused.headers
    assert served.metrics.registry.get_sample_value("wearables_api_live_streams") == MAX_STREAMS
    for stream in streams:
        stream.close()
    assert served.metrics.registry.get_sample_value("wearables_api_live_streams") == 0
    for _ in range(MAX_STREAMS + 1):  # never read, so never begun
        caller.client.head("/v1/live/stream", headers={"Authorization": f"Bearer {TOKEN}"}).close()
    caller.get("/v1/live/stream", buffered=False).close()


@pytest.fixture
def api(world: World, live_url: str, tmp_path: Path) -> Iterator[ApiProcess]:
    process = ApiProcess(world.sql_url, live_url, free_ports(1)[0], tmp_path)
    process.start()
    yield process
    process.close()


@pytest.mark.sql
@pytest.mark.timeout(600)  # against hanging for ever; how long it takes proves nothing
def test_a_stop_ends_open_streams_answers_what_is_open_and_exits_zero(api: ApiProcess, live: LatestWriter) -> None:
    _moved(live, "d0", NOW_US)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with requests.get(f"{api.url}/v1/live/stream", headers=headers, stream=True, timeout=None) as stream:
        lines = stream.iter_lines()
        assert next(lines) == b"event: hello"
        assert b"event: fleet" in lines  # reads up to it
        api.signal(signal.SIGTERM)
        # The reader stays, so only the process can have ended the stream; and it ended instead of breaking.
        assert list(lines)[-1] == b""
    assert api.wait(None) == 0
    log = [json.loads(line) for line in api.log.read_text().splitlines()]
    assert [line for line in log if line.get("route") == "/v1/live/stream"]
    assert TOKEN not in api.log.read_text()


@pytest.mark.sql
def test_a_missing_setting_ends_the_process_before_it_listens(tmp_path: Path) -> None:
    from wearables_platform.api.process import run
    from wearables_platform.errors import ConfigError
    from wearables_platform.settings import Settings

    with pytest.raises(ConfigError, match="WEARABLES_API_PORT"):
        run(Settings(api_token="x", sql_url="postgresql://x", redis_url="redis://x", run_dir=tmp_path))
