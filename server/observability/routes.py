"""Health and readiness, metrics, and the status page."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from litestar import MediaType, Request, Response, Router, get
from litestar.di import NamedDependency
from msgspec import Meta, Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from server.engine import EngineState
from server.http.access import for_all, for_operators
from server.http.dependency import EngineDependency
from server.http.errors import json_error
from server.http.responses import response_spec
from server.http.sse import EVENT_STREAM, EventStream, event
from server.observability.history import History
from server.observability.status import constants, status_view
from server.rendering import Pages
from server.shelf import DatabaseHealth


class Health(Struct, frozen=True, kw_only=True):
    """The server's model and work."""

    status: Literal["ok"] = "ok"
    model: Annotated[str, Meta(description="The name of the model.")]
    running: Annotated[int, Meta(description="Sequences in progress.")]
    waiting: Annotated[int, Meta(description="Requests in the queue.")]
    written: Annotated[int, Meta(description="Tokens generated since the server started.")]


@get(
    "/healthz",
    guards=[for_all],
    operation_id="readHealth",
    summary="Check the health of the server",
    response_description="The server is well.",
)
async def health(engine: EngineDependency) -> Health:
    """Returns the model, the number of requests, and the number of generated tokens."""
    return Health(
        model=engine.bundle.manifest.name, running=engine.running, waiting=engine.queued, written=engine.generated
    )


class Readiness(Struct, frozen=True, kw_only=True):
    """The state of the server: of the engine, and of the shelf's database."""

    status: Annotated[
        EngineState | Literal["failing"],
        Meta(
            description="restarting: after a failure of the model. failing: the database of the shelf fails. "
            "draining, closed: while stopping."
        ),
    ]


@get(
    "/readyz",
    guards=[for_all],
    operation_id="readReadiness",
    summary="Check that the server takes requests for text",
    response_description="It takes requests.",
    responses={503: response_spec(Readiness, description="It takes no requests, for now or for good.")},
)
async def readiness(engine: EngineDependency, database_health: NamedDependency[DatabaseHealth]) -> Response[Readiness]:
    """Returns the state of the server, for load balancers.

    To check only that the server is alive, use /healthz.
    """
    state = "failing" if engine.ready and database_health.failing else engine.state
    ready = state == "ready"
    headers = {} if ready else {"Retry-After": "5"}
    return Response(Readiness(status=state), status_code=200 if ready else 503, headers=headers)


health_api = Router(
    "/", route_handlers=[health, readiness], exception_handlers={Exception: json_error}, tags=["server"]
)


@get("/metrics", guards=[for_operators])
async def metrics(metrics_registry: NamedDependency[CollectorRegistry]) -> Response[bytes]:
    """All metrics, in the format of Prometheus."""
    # As a header, because Litestar adds a charset to a media type, which has one.
    headers = {"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST}
    return Response(generate_latest(metrics_registry), headers=headers)


@get("/status", guards=[for_operators], response_headers={"Vary": "Accept"})
async def status(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], history: NamedDependency[History]
) -> Response[Any]:
    """The status page; for clients that accept events, its figures each second."""
    if EVENT_STREAM in request.headers.get("accept", ""):
        return EventStream(_events(history))
    page = await pages.render("status.html", shown=status_view(history), constants=constants(history))
    return Response(page, media_type=MediaType.HTML, headers={"Cache-Control": "no-store"})


async def _events(history: History) -> AsyncIterator[bytes]:
    while history.engine.state != "closed":  # the server waits for open streams to end
        shown = status_view(history)
        figures = {
            "values": shown.values | {f"{chart.id}-top": chart.top for chart in shown.charts},
            "lines": {chart.id: chart.line for chart in shown.charts},
        }
        yield event(figures)
        await asyncio.sleep(1)
