"""Requests to the API: token, retries, validators, problem documents. All HTTP of the client is here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from wearables_platform.client.errors import ApiProblem, ApiUnavailable

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
# "Not now", and the proxies' words for it: the answers that say to ask again.
_ASK_AGAIN = (429, 502, 503, 504)
_KEPT_ANSWERS = 64
_KEPT_BYTES = 1 << 20
# Parameters that are words of Python in the API's own spelling.
_SPELLING = {"from_time": "from", "to_time": "to", "from_day": "from", "to_day": "to"}


class Transport:
    """A connection pool, and what was answered last, for one API and token. Not for several threads at once.

    What answers 429 or 503 is asked again up to `attempts` times, after `Retry-After` where the answer says so.
    """

    def __init__(self, url: str, token: str, *, attempts: int = 5) -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.auth = _Bearer(token)
        retry = Retry(
            total=attempts,
            status_forcelist=_ASK_AGAIN,
            allowed_methods={"GET"},
            backoff_factor=0.5,
            respect_retry_after_header=True,
            raise_on_status=False,  # the last answer is a problem document, which says more
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))
        self._kept: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], tuple[str, bytes]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def get(self, path: str, asked: Mapping[str, Any]) -> bytes:
        """Return the body of an answer; one that was answered before and has not changed is not sent again."""
        written = written_parameters(asked)
        key = (path, tuple(sorted(written.items())))
        etag, known = self._kept.get(key, ("", b""))
        with self.streamed(path, asked, headers={"If-None-Match": etag} if etag else {}) as response:
            with _translated():
                body = known if response.status_code == requests.codes.not_modified else response.content
            self._keep(key, response.headers.get("ETag", ""), body)
        return body

    @contextmanager
    def streamed(
        self,
        path: str,
        asked: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> Iterator[requests.Response]:
        """Lend an answer that was not refused, unread."""
        with _translated():
            response = self._session.get(
                self.url + path,
                params=written_parameters(asked),
                headers=headers,
                stream=True,
                timeout=(CONNECT_TIMEOUT_S, read_timeout_s),
            )
        with response:
            if response.status_code >= requests.codes.bad_request:
                raise _refusal(response)
            yield response

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _keep(self, key: tuple[str, tuple[tuple[str, str], ...]], etag: str, body: bytes) -> None:
        if not etag or len(body) > _KEPT_BYTES:
            return
        self._kept[key] = (etag, body)
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT_ANSWERS:
            self._kept.popitem(last=False)


class _Bearer(requests.auth.AuthBase):
    """Adds the token, which nothing prints. As `auth` and not as a header: a `.netrc` then cannot take its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def body_chunks(response: requests.Response, chunk_bytes: int | None) -> Iterator[bytes]:
    """Yield the body in pieces of a size, or with None as they arrive; one that breaks off raises `ApiUnavailable`."""
    with _translated():
        yield from response.iter_content(chunk_bytes)


def written_parameters(asked: Mapping[str, Any]) -> dict[str, str]:
    """Spell parameters as the API does; those that are None are not sent.

    >>> written_parameters({"from_day": date(2026, 3, 1), "limit": 5, "cursor": None})
    {'from': '2026-03-01', 'limit': '5'}
    """
    return {_SPELLING.get(name, name): _written(name, value) for name, value in asked.items() if value is not None}


def _written(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            msg = f"{name} must have a time zone: an instant without one is not guessed"
            raise ValueError(msg)
        return value.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _refusal(response: requests.Response) -> ApiProblem | ApiUnavailable:
    with _translated():
        problem = _problem(response)
    request_id = response.headers.get("X-Request-ID", "")
    if response.status_code in _ASK_AGAIN:
        return ApiUnavailable(f"{response.status_code}: {problem.get('detail') or response.reason}", request_id)
    return ApiProblem(response.status_code, problem, request_id)


def _problem(response: requests.Response) -> dict[str, Any]:
    # What stands between may answer in its own words.
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return {"detail": response.reason}
    found: dict[str, Any] = response.json()
    return found


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except requests.RequestException as exc:
        # Only the kind: the driver's words may hold the address with its parameters, that is, whose data was asked for.
        msg = f"the API did not answer ({type(exc).__name__})"
        raise ApiUnavailable(msg) from exc
