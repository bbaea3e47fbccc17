"""A plot as server-sent events."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import HttpMethod, Request, Response, route
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.response import Stream
from litestar.response.sse import ServerSentEventMessage

from server.brief import Brief, BriefError
from server.engine import Engine, EngineError
from server.plot import Plot
from server.routes.desk import STREAM_HEADERS
from server.routes.fields import typed_fields
from server.settings import Settings


@route("/stream", http_method=[HttpMethod.GET, HttpMethod.POST], status_code=200)
async def stream_plot(
    request: Request[Any, Any, Any], engine: NamedDependency[Engine], settings: NamedDependency[Settings]
) -> Response[Any]:
    """Takes the form's fields (prompt, genre, length, wildness, seed) and answers with text/event-stream.

    The header Plot-Seed tells the seed before the first word. Events: `token` {"text"}, then `done` {"finish_reason",
    "tokens", "seed"} or `error` {"message"}. A form that cannot be worked from is answered with JSON: 422 {"message",
    "problems": {field: what is wrong}}; a full queue with 503 {"message"}.
    """
    try:
        brief = Brief.read(await typed_fields(request), engine.bundle.manifest)
        plot = Plot(engine, brief, settings.max_tokens)
    except BriefError as error:
        return Response({"message": str(error), "problems": error.problems}, status_code=422)
    except EngineError as error:
        return Response({"message": f"No plot this time: {error}."}, status_code=503, headers={"Retry-After": "5"})
    return Stream(
        _events(plot),
        media_type="text/event-stream",
        headers=STREAM_HEADERS | {"Plot-Seed": str(plot.seed)},
        # Litestar runs it after the answer, also when the client has left in its middle: the work stops then.
        background=BackgroundTask(plot.cancel),
    )


async def _events(plot: Plot) -> AsyncIterator[bytes]:
    async for text in plot:
        yield _event("token", {"text": text})
    if plot.failure is not None:
        yield _event("error", {"message": plot.failure})
    else:
        yield _event("done", {"finish_reason": plot.finish_reason, "tokens": plot.tokens, "seed": plot.seed})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return ServerSentEventMessage(event=name, data=msgspec.json.encode(data), sep="\n").encode()
