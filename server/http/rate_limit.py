"""Limits the requests for text of each client in a minute."""

from dataclasses import replace
from typing import Any

from litestar import Request
from litestar.exceptions import TooManyRequestsException
from litestar.middleware.rate_limit import RateLimitConfig, RateLimitMiddleware
from litestar.types import Receive, Scope, Send

from server.http.access import Access

WORK = "work"
"""The option of routes with a rate limit."""

STORE = "rate_limit"
"""Litestar's store of the counts. Something must delete the expired ones now and then."""


class PerMinute(RateLimitMiddleware):
    """Litestar's rate limit, with a message and Retry-After."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManyRequestsException (429)."""
        try:
            await super().__call__(scope, receive, send)
        except TooManyRequestsException as error:
            headers = dict(error.headers or {})
            seconds = max(int(headers.get("RateLimit-Reset", 60)), 1)
            raise TooManyRequestsException(
                f"You may send {self.max_requests} requests a minute. Wait {seconds} seconds.",
                headers=headers | {"Retry-After": str(seconds)},
            ) from error


async def count_text(request: Request[Any, Any, Any]) -> None:
    """Count a request for text on a route without `WORK`. Raises TooManyRequestsException (429)."""
    if limit := request.app.state.get(STORE):
        await limit(request.scope, request.receive, request.send)


def counter(requests: int, access: Access) -> PerMinute:
    """Return the limit for `count_text`. It and `per_minute` share their counts."""

    async def counted(_: Scope, __: Receive, ___: Send) -> None:
        pass

    return PerMinute(counted, replace(per_minute(requests, access), check_throttle_handler=None))


def per_minute(requests: int, access: Access) -> RateLimitConfig:
    """Return the limit for each client on routes with the option `WORK`."""

    def counts(request: Request[Any, Any, Any]) -> bool:
        return bool(request.route_handler.opt.get(WORK))

    return RateLimitConfig(
        rate_limit=("minute", requests),
        identifier_for_request=access.client_of,
        check_throttle_handler=counts,
        middleware_class=PerMinute,
        store=STORE,
    )
