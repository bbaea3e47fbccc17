"""The page for operators: how the engine is doing, and how it did in the last minutes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.response import Stream

from server.http.access import for_operators
from server.http.responses import EVENT_STREAM, STREAM_HEADERS
from server.pages import Pages
from server.seeing.figures import constants, figures
from server.seeing.history import History

HEADERS = STREAM_HEADERS | {"Vary": "Accept"}


@get("/status", guards=[for_operators], include_in_schema=False)
async def status(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], history: NamedDependency[History]
) -> Response[Any]:
    """The page; or, for who accepts an event stream, its figures each second."""
    if EVENT_STREAM in request.headers.get("accept", ""):
        return Stream(_events(history), media_type=EVENT_STREAM, headers=HEADERS)
    page = await pages.render("status.html", shown=figures(history), constants=constants(history))
    return Response(page, media_type=MediaType.HTML, headers=HEADERS)


async def _events(history: History) -> AsyncIterator[bytes]:
    while history.engine.state != "closed":  # the server waits for open streams to end
        shown = figures(history)
        event = {
            "values": shown.values | {f"{chart.id}-top": chart.top for chart in shown.charts},
            "lines": {chart.id: chart.line for chart in shown.charts},
        }
        yield b"data: " + msgspec.json.encode(event) + b"\n\n"
        await asyncio.sleep(1)
