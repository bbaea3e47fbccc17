"""The limit on open connections: requests beyond it are refused."""

from typing import Any

from litestar import Request

from server.engine import EngineBusy

OVER_LIMIT = "crowded"
"""The key in a request's state that marks a connection beyond the limit."""

MAX_REFUSED = 64
"""Connections that get a refusal at once; any further ones are closed, since a refusal takes a connection too."""

ALWAYS_SERVED = ("/healthz", "/readyz", "/metrics", "/status")
"""Paths that are always served: a server must not look dead to its monitoring because it is popular."""


async def refuse_over_limit(request: Request[Any, Any, Any]) -> None:
    """A hook before each request. Raises EngineBusy on a connection beyond the limit."""
    if request.scope["state"].get(OVER_LIMIT) and request.scope["path"] not in ALWAYS_SERVED:
        raise EngineBusy("too many clients are connected")
