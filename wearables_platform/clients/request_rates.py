"""How often each caller asks, counted in Redis, so that several processes share one limit."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from wearables_platform.logs import get_logger

REQUESTS_KEY = "requests"
_TIMEOUT_S = 1.0
_log = get_logger(__name__)


class RequestRates:
    """Counts requests per caller over a sliding minute: two counters each, whatever the rate.

    The count is good to a few per cent. While Redis is away nothing is counted and nobody refused: a limit that keeps
    people from data that can be had would do more harm than none.
    """

    def __init__(self, redis_url: str) -> None:
        storage = RedisStorage(
            redis_url,
            key_prefix=REQUESTS_KEY,
            wrap_exceptions=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    def count(self, caller: str, per_minute: int) -> int:
        """Count a request; returns 0, or how many seconds the caller must wait because it is one too many."""
        limit = RateLimitItemPerMinute(per_minute)
        try:
            if self._limiter.hit(limit, caller):
                return 0
            reset_s = self._limiter.get_window_stats(limit, caller).reset_time
        except StorageError as exc:
            _log.warning("requests are not counted", error=type(exc.storage_error).__name__)
            return 0
        return max(1, math.ceil(reset_s - time.time()))
