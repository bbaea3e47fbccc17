"""Limits the requests for text of each client in a minute."""

import math
import time
from itertools import takewhile
from typing import Any

from litestar import Request
from litestar.exceptions import TooManyRequestsException

from server.http.access import client_of

WORK = "work"
"""The option of routes with a rate limit."""

MINUTE = 60.0


class RateLimit:
    """Counts the requests of each client in the minute since its first one. requests: 0 for no limit."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        # By client: the end of its minute, on the monotonic clock, and its requests. The first to end is the first.
        self._counts: dict[str, tuple[float, int]] = {}

    @property
    def clients(self) -> int:
        """The number of clients with a minute that has not been forgotten."""
        return len(self._counts)

    def count(self, client: str) -> None:
        """Count a request. Raises TooManyRequestsException (429)."""
        if not self._requests:
            return
        now = time.monotonic()
        for ended in [*takewhile(lambda each: self._counts[each][0] <= now, self._counts)]:
            del self._counts[ended]
        end, count = self._counts.get(client, (now + MINUTE, 0))
        if count >= self._requests:
            seconds = math.ceil(end - now)
            raise TooManyRequestsException(
                f"You may send {self._requests} requests a minute. Wait {seconds} seconds.",
                headers={"Retry-After": str(seconds)},
            )
        self._counts[client] = end, count + 1


def count_text(request: Request[Any, Any, Any]) -> None:
    """Count a request for text. Raises TooManyRequestsException (429)."""
    request.app.state.rate_limit.count(client_of(request))
