"""Connections beyond those that the server holds: what they are told."""

from typing import Any

from litestar import Request

from server.engine import EngineBusy

CROWDED = "crowded"
"""In the state of a request: that its connection is one too many."""

TURNED_AWAY = 64
"""So many at once are told so; those beyond are ended unheard, because to tell it takes a connection too."""

ALWAYS = ("/healthz", "/readyz", "/metrics", "/status")
"""Answered whatever the crowd: who watches the server must not take it for dead because it is popular."""


async def turn_away_a_crowd(request: Request[Any, Any, Any]) -> None:
    """A hook before each request. Raises EngineBusy for one whose connection is one too many."""
    if request.scope["state"].get(CROWDED) and request.scope["path"] not in ALWAYS:
        raise EngineBusy("as many are connected as the server has room for")
