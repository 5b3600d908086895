"""Requests over connections that stay open, as fast as they are answered or at a given rate."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

CONNECTIONS = 8


@dataclass
class HttpLoad:
    """Eight connections that ask for one path after another; an answer that is not 200 or has no body is a failure."""

    port: int
    paths: list[str]
    headers: Mapping[str, str]
    latencies_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def run(self, seconds: float, rate_per_s: float | None = None) -> int:
        """Ask for so long, and return how many were answered.

        With a rate, each request has its instant, and its latency counts from there, also where one before it was
        late: what a caller waits for who does not wait for others.
        """
        self.latencies_ms, self.failures = [], []
        begin = time.perf_counter()
        threads = [
            threading.Thread(target=self._ask, args=(number, begin, seconds, rate_per_s))
            for number in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(self.latencies_ms)

    def _ask(self, number: int, begin: float, seconds: float, rate_per_s: float | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        turn = number
        while True:
            now = time.perf_counter()
            due = now if rate_per_s is None else begin + turn / rate_per_s
            if due - begin >= seconds:
                break
            if due > now:
                time.sleep(due - now)
            connection.request("GET", self.paths[turn % len(self.paths)], headers=dict(self.headers))
            response = connection.getresponse()
            body = response.read()
            if response.status != 200 or not body:
                self.failures.append(f"{response.status}")
            self.latencies_ms.append((time.perf_counter() - due) * 1_000)
            turn += CONNECTIONS
        connection.close()
