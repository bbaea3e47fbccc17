"""Refuses requests on connections over the limit."""

from typing import Any

from litestar import Request

from server.engine import EngineBusy

OVER_LIMIT = "over_limit"
"""A key in the state of requests on a connection over the limit."""

MAX_REFUSED = 64
"""Connections over the limit at once that get a response, 503. The server closes any further ones."""

ALWAYS_SERVED = ("/healthz", "/readyz", "/metrics", "/status")
"""Paths without the limit: a busy server must not look dead to its monitoring."""


def refuse_over_limit(request: Request[Any, Any, Any]) -> None:
    """Refuse a request on a connection over the limit. Raises EngineBusy."""
    if request.scope["state"].get(OVER_LIMIT) and request.scope["path"] not in ALWAYS_SERVED:
        raise EngineBusy("too many clients are connected")
