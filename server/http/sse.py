"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

EVENT_STREAM = "text/event-stream"

ENCODER = msgspec.json.Encoder()
"""Writes JSON on one line, as an event's data must be."""

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Headers of streamed responses: no cache may store them, and no proxy may buffer them."""

# No empty line follows these two. It would end an event, and some clients would then report an empty one.

RETRY = b"retry: 1000\n"
"""Tells browsers to reconnect after 1000 ms when they lose the connection."""

HEARTBEAT = b":\n"
"""A comment. It shows proxies that the connection is alive."""


def event(value: object, name: str | None = None, id: str | None = None) -> bytes:
    """Return an event with the JSON of a value as its data."""
    lines = b"" if id is None else b"id: %b\n" % id.encode()
    if name is not None:
        lines += b"event: %b\n" % name.encode()
    return b"%bdata: %b\n\n" % (lines, ENCODER.encode(value))


class EventStream(Response[None]):
    """A response of events.

    Args:
        events: yields one or several events at a time.
        after: is called at the end, or when the client leaves, even if that is before the first event.
    """

    def __init__(self, events: AsyncIterator[bytes], after: Callable[[], None] = lambda: None) -> None:
        super().__init__(None, headers=STREAM_HEADERS)
        self._events, self._after = events, after

    def to_asgi_response(
        self,
        app: Litestar | None,
        request: Request[Any, Any, Any],
        *,
        headers: dict[str, str] | None = None,
        **_: Any,
    ) -> ASGIResponse:
        """Return what sends it. headers: of the route."""
        return _EventSender(self._events, self._after, (headers or {}) | self.headers)


class _EventSender(ASGIResponse):
    """Sends events as they come. Litestar's own class for streams takes much longer to begin and to end."""

    _should_set_content_length = False

    def __init__(self, events: AsyncIterator[bytes], after: Callable[[], None], headers: dict[str, str]) -> None:
        super().__init__(headers=headers, media_type=EVENT_STREAM)
        self._events, self._after = events, after

    async def send_body(self, send: Send, receive: Receive) -> None:
        sending, leaving = asyncio.create_task(self._send(send)), asyncio.create_task(client_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            sending.cancel()
            self._after()
            with suppress(asyncio.CancelledError):
                await sending

    async def _send(self, send: Send) -> None:
        async for piece in self._events:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def client_left(receive: Callable[[], Awaitable[Any]]) -> None:
    """Wait until the client leaves. receive: of a request whose body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
