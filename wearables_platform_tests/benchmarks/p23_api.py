"""P23: newest values over the query API, against an application that says hello on the same server.

Both sides are asked over eight connections that stay open, in turn within a round. `P23` is the API's requests per
second against the other's; `P23-p99` its 99th percentile at half the rate it had in that round. Every answer must be a
200; one device's is held against what was written. Clients, Redis and PostgreSQL run on the same machine.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wearables_platform.clients.redis import LatestWriter
from wearables_platform.local.ports import free_ports
from wearables_platform.sql.migrate import migrate
from wearables_platform_tests.api_process import ApiProcess, Fleet, wait_until
from wearables_platform_tests.api_world import TOKEN, World
from wearables_platform_tests.benchmarks.http_load import HttpLoad
from wearables_platform_tests.benchmarks.runner import Figure, calibration, judged, tell
from wearables_platform_tests.servers import TestServers, fresh_database, open_directory

DEVICES = 100
AT_US = 1_774_742_400_000_000
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def _api(directory: Path, servers: TestServers) -> Iterator[int]:
    """Start the API over a hundred enrolled devices with newest values; yields its port."""
    for sql_url in fresh_database(servers.url("postgres")):
        migrate(sql_url)
        world = World(sql_url)
        world.study("bench")
        devices = [world.person(f"person-{number}", "bench") for number in range(DEVICES)]
        writer = LatestWriter(servers.url("redis"), "bench")
        Fleet(writer, devices).write_once(AT_US)
        writer.close()
        api = ApiProcess(sql_url, servers.url("redis"), free_ports(1)[0], directory)
        api.start()
        try:
            yield api.port
        finally:
            api.close()


@contextmanager
def _hello(log_file: Path) -> Iterator[int]:
    """Start the application that says hello; yields its port."""
    port = free_ports(1)[0]
    argv = [sys.executable, "-m", "wearables_platform_tests.benchmarks.hello_server", str(port)]
    with log_file.open("ab") as log:
        process = subprocess.Popen(argv, stderr=log)
    try:
        wait_until(lambda: _answers(port), "the server that says hello", 60)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Ask both sides in turn, then the API at half its rate."""
    ratios: list[float] = []
    p99_ms: list[float] = []
    rates: dict[str, list[float]] = {"api": [], "hello": []}
    wrong: list[str] = []
    with open_directory() as directory:
        servers = TestServers(directory)
        try:
            with _api(directory, servers) as api_port, _hello(directory / "hello.log") as hello_port:
                api = HttpLoad(api_port, [f"/v1/devices/person-{n}-watch/latest" for n in range(DEVICES)], HEADERS)
                hello = HttpLoad(hello_port, ["/"], {})
                for side in (api, hello):
                    side.run(1.0)
                for done in range(rounds):
                    tell("P23", done, rounds)
                    lap_s = seconds / 5
                    counts = [side.run(lap_s) for side in (api, hello, api, hello)]
                    rates["api"].append((counts[0] + counts[2]) / (2 * lap_s))
                    rates["hello"].append((counts[1] + counts[3]) / (2 * lap_s))
                    ratios.append(rates["api"][-1] / rates["hello"][-1])
                    api.run(lap_s, rates["api"][-1] / 2)
                    p99_ms.append(statistics.quantiles(api.latencies_ms, n=100)[98])
                    wrong += api.failures + hello.failures
                whole = not wrong and _right(api_port)
        finally:
            servers.stop_all()
    detail = ", ".join(f"{side} {statistics.median(found):,.0f}/s" for side, found in rates.items())
    detail = f"{detail}, {calibration()}"
    return [
        judged("P23", ratios, must=0.6, stretch=0.8, unit="of hello world", whole=whole, detail=detail),
        judged("P23-p99", p99_ms, must=20, stretch=20, unit="ms at half load", whole=whole, at_most=True),
    ]


def _right(port: int) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/devices/person-7-watch/latest", headers=HEADERS)
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)
    return bool(found["device_id"] == "person-7-watch" and found["event_time"] == "2026-03-29T00:00:00Z")
