"""The client on its own: what it needs, when it asks again, what it never says."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3.util.retry
from werkzeug.wrappers import Request, Response

from wearables_platform.client import ApiProblem, ApiUnavailable, Client, TypedClient
from wearables_platform.client.live import live_events
from wearables_platform.client.transport import Transport
from wearables_platform.errors import ConfigError
from wearables_platform_tests.client_rig import answering, listening
from wearables_platform_tests.schema import ROOT

TOKEN = "a-token-nobody-may-read"
STAGES = Response('{"items": []}', mimetype="application/json")
NOW = datetime(2026, 3, 30, tzinfo=UTC)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits between attempts, noted down instead of waited."""
    waits: list[float] = []
    monkeypatch.setattr(urllib3.util.retry, "time", SimpleNamespace(sleep=waits.append, time=time.time))
    return waits


def refused(status: int, kind: str = "x", **headers: str) -> Response:
    body = f'{{"type": "urn:p:{kind}", "detail": "no", "parameters": [{{"name": "day", "detail": "is not one"}}]}}'
    found = Response(body, status, mimetype="application/problem+json", headers=headers)
    found.headers["X-Request-ID"] = "r-1"
    return found


@pytest.mark.parametrize("status", [429, 503])
def test_not_now_is_asked_again_after_as_long_as_the_answer_says(status: int, slept: list[float]) -> None:
    busy = refused(status, **{"Retry-After": "7"})
    with listening(answering(lambda _: busy, lambda _: STAGES)) as api:
        assert TypedClient(api.url, TOKEN).stages().items == []
    assert slept == [7]
    assert api.statuses == [str(status), "200"]


def test_what_stays_busy_ends_as_an_error_that_may_be_tried_later(slept: list[float]) -> None:
    busy = refused(503, **{"Retry-After": "1"})
    with listening(answering(lambda _: busy)) as api, pytest.raises(ApiUnavailable, match="503: no") as raised:
        TypedClient(api.url, TOKEN, attempts=2).stages()
    assert raised.value.request_id == "r-1"
    assert len(api.statuses) == 3


def test_a_refusal_is_not_asked_again_and_says_its_request_and_parameters() -> None:
    refusal = refused(400, "invalid-parameter")
    with listening(answering(lambda _: refusal)) as api, pytest.raises(ApiProblem) as raised:
        TypedClient(api.url, TOKEN).stages()
    found = raised.value
    assert (found.status, found.kind, found.request_id) == (400, "invalid-parameter", "r-1")
    assert found.parameters == {"day": "is not one"}
    assert api.statuses == ["400"]


def test_an_answer_that_has_not_changed_is_not_sent_again() -> None:
    def tagged(request: Request) -> Response:
        found = Response('{"items": []}', mimetype="application/json")
        found.set_etag("one")
        return found.make_conditional(request)

    with listening(answering(tagged)) as api, TypedClient(api.url, TOKEN) as client:
        assert client.stages() == client.stages()
    assert api.statuses == ["200", "304"]


def test_the_token_is_sent_and_said_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    sent: list[str] = []

    def answer(request: Request) -> Response:
        sent.append(request.headers["Authorization"])
        return refused(401)

    with listening(answering(answer)) as api, Client(api.url, TOKEN) as client:
        with pytest.raises(ApiProblem) as raised:
            client.typed.stages()
        said = [repr(client), repr(client.typed), repr(vars(client.typed)), str(raised.value), caplog.text]
    assert sent == [f"Bearer {TOKEN}"]
    assert not [text for text in said if TOKEN in text]


def test_the_address_and_the_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="WEARABLES_API_URL"):
        Client()
    monkeypatch.setenv("WEARABLES_API_URL", "http://example.org/")
    monkeypatch.setenv("WEARABLES_API_TOKEN", TOKEN)
    assert repr(Client()) == "Client('http://example.org')"


def test_an_instant_without_a_zone_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="as_of must have a time zone"):
        TypedClient("http://127.0.0.1:1", TOKEN).models(as_of=NOW.replace(tzinfo=None))


def test_nobody_there_is_said_without_the_address_asked_for() -> None:
    with pytest.raises(ApiUnavailable) as raised:
        TypedClient("http://127.0.0.1:1", TOKEN, attempts=0).latest("the-watch-of-somebody")
    assert "somebody" not in str(raised.value)


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    def half() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionAbortedError

    def breaks_off(_: Request) -> Response:
        return Response(half())

    wanted = tmp_path / "features.csv"
    with listening(answering(breaks_off)) as api, pytest.raises(ApiUnavailable):
        TypedClient(api.url, TOKEN).export_features(wanted, from_time=NOW, to_time=NOW)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="must end in one of parquet, csv, ndjson"):
        TypedClient("http://127.0.0.1:1", TOKEN).export_features(tmp_path / "x.txt", from_time=NOW, to_time=NOW)


def test_the_live_stream_goes_on_where_it_broke_off() -> None:
    resumed_from: list[str | None] = []

    def stream(request: Request) -> Response:
        resumed_from.append(request.headers.get("Last-Event-ID"))
        number = len(resumed_from)
        text = f"event: hello\ndata: {{}}\n\nevent: anomalies\nid: {number}-0\ndata: {{}}\n\nevent: cut"
        return Response(text, mimetype="text/event-stream")

    waits: list[float] = []
    with listening(answering(stream)) as api:
        events = live_events(Transport(api.url, TOKEN), {"device": None}, wait=waits.append)
        found = [next(events) for _ in range(6)]
        events.close()
    assert [event.event for event in found] == ["hello", "anomalies"] * 3
    assert resumed_from == [None, "1-0", "2-0"]
    assert waits == [1, 1]


def test_the_live_stream_waits_longer_while_it_fails_and_ends_when_it_is_refused(slept: list[float]) -> None:
    waits: list[float] = []
    busy = [lambda _: refused(503)] * 3
    with listening(answering(*busy, lambda _: refused(401))) as api, pytest.raises(ApiProblem):
        next(live_events(Transport(api.url, TOKEN, attempts=0), {}, wait=waits.append))
    assert waits == [2, 4, 8]


def distributions(requirements: str) -> set[str]:
    text = (ROOT / "requirements" / requirements).read_text()
    return {name.lower().replace("-", "_") for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}


def test_the_client_imports_nothing_its_own_requirements_do_not_have() -> None:
    program = (
        "import sys, importlib.metadata as m, wearables_platform.client\n"
        "of = m.packages_distributions()\n"
        "print(*{d for name in {n.split('.')[0] for n in sys.modules} for d in of.get(name, [])})"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    imported = {name.lower().replace("-", "_") for name in printed.split()} - {"wearables_platform", "setuptools"}
    assert "requests" in imported
    assert "pandas" not in imported  # only tables need it
    assert imported <= distributions("client.txt")
