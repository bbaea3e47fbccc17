"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

EVENT_STREAM = "text/event-stream"

STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Headers of streamed responses: no cache may store them, and no proxy may buffer them."""

# No empty line follows these two. It would end an event, and some clients would then report an empty one.

RETRY = b"retry: 1000\n"
"""Tells browsers to reconnect after 1000 ms when they lose the connection."""

HEARTBEAT = b":\n"
"""A comment. It shows proxies that the connection is alive."""


def event(value: object, name: str | None = None, id: str | None = None) -> bytes:
    """Return an event with the JSON of a value as its data, which msgspec writes on one line."""
    lines = b"" if id is None else b"id: %b\n" % id.encode()
    if name is not None:
        lines += b"event: %b\n" % name.encode()
    return b"%bdata: %b\n\n" % (lines, msgspec.json.encode(value))


def event_stream(events: AsyncIterator[bytes], after: Callable[..., Any], *args: object) -> Stream:
    """Return a response of events. Litestar calls `after(*args)` at its end, or when the client leaves."""
    return Stream(events, media_type=EVENT_STREAM, headers=STREAM_HEADERS, background=BackgroundTask(after, *args))
