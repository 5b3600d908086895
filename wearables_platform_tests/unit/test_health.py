"""A process says that it lives, that it works, and what it counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from wearables_platform.health import STALLED_AFTER_S, Health, HealthServer


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health("archive", clock)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def url(health: Health, registry: CollectorRegistry) -> Iterator[str]:
    with HealthServer(health, "127.0.0.1", 0, registry) as server:
        yield f"http://127.0.0.1:{server.port}"


def ask(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_a_process_that_starts_is_alive_and_not_ready(url: str) -> None:
    assert ask(f"{url}/health/live")[0] == 200
    status, said = ask(f"{url}/health/ready")
    assert (status, said) == (503, {"process": "archive", "ok": False, "reason": "starting"})


def test_a_process_that_works_is_ready_until_it_says_why_not(url: str, health: Health) -> None:
    health.ready()
    assert ask(f"{url}/health/ready")[0] == 200
    health.not_ready("MongoDB does not answer")
    assert ask(f"{url}/health/ready")[1]["reason"] == "MongoDB does not answer"
    assert ask(f"{url}/health/live")[0] == 200


def test_a_stuck_process_is_neither(url: str, health: Health, clock: Clock) -> None:
    health.ready()
    clock.now_s = STALLED_AFTER_S + 1
    assert ask(f"{url}/health/live")[0] == 503
    assert ask(f"{url}/health/ready")[0] == 503
    health.beat()
    assert ask(f"{url}/health/ready")[0] == 200


def test_metrics_are_served_beside(url: str, registry: CollectorRegistry) -> None:
    Counter("stored", "Messages stored.", registry=registry).inc(3)
    with urlopen(f"{url}/metrics", timeout=10) as answer:
        assert "stored_total 3.0" in answer.read().decode()


def test_any_other_path_is_not_found(url: str) -> None:
    with pytest.raises(HTTPError, match="404") as caught:
        urlopen(f"{url}/secrets", timeout=10)
    caught.value.close()
