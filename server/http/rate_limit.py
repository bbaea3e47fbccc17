"""How many requests for text a client may send in a minute."""

from typing import Any

from litestar import Request
from litestar.exceptions import TooManyRequestsException
from litestar.middleware.rate_limit import RateLimitConfig, RateLimitMiddleware
from litestar.types import Receive, Scope, Send

from server.http.access import Access

WORK = "work"
"""The option of routes that have text written, by which they are counted."""

STORE = "rate_limit"
"""The store of Litestar that counts; what has expired has to be deleted from it now and then."""


class PerMinute(RateLimitMiddleware):
    """Litestar's, which also says in words and in Retry-After when to come again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManyRequestsException (429)."""
        try:
            await super().__call__(scope, receive, send)
        except TooManyRequestsException as error:
            headers = dict(error.headers or {})
            seconds = max(int(headers.get("RateLimit-Reset", 60)), 1)
            raise TooManyRequestsException(
                f"That were {self.max_requests} requests in a minute, as many as one may send. Wait {seconds} seconds.",
                headers=headers | {"Retry-After": str(seconds)},
            ) from error


def per_minute(requests: int, access: Access) -> RateLimitConfig:
    """So many of each client, for routes with the option `WORK`."""

    def counts(request: Request[Any, Any, Any]) -> bool:
        return bool(request.route_handler.opt.get(WORK))

    return RateLimitConfig(
        rate_limit=("minute", requests),
        identifier_for_request=access.client_of,
        check_throttle_handler=counts,
        middleware_class=PerMinute,
        store=STORE,
    )
