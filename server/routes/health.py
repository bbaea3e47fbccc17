"""Whether the server is well, and whether it takes requests."""

from typing import Annotated, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Meta, Struct

from server.engine import AnyEngine, State
from server.http.access import for_all
from server.http.responses import Answered


class Health(Struct, frozen=True, kw_only=True):
    """The server, and what it has to do."""

    status: Literal["ok"] = "ok"
    model: Annotated[str, Meta(description="The model that is served.")]
    running: Annotated[int, Meta(description="Sequences that are being written.")]
    waiting: Annotated[int, Meta(description="Requests that wait for their turn.")]
    written: Annotated[int, Meta(description="Tokens that were written since the server began.")]


@get(
    "/healthz",
    guards=[for_all],
    operation_id="readHealth",
    summary="Whether the server is well",
    tags=["server"],
    response_description="It is.",
)
async def health(engine: NamedDependency[AnyEngine]) -> Health:
    """The model that is served, how many requests it has, and how much it has written."""
    return Health(
        model=engine.bundle.manifest.name, running=engine.running, waiting=engine.waiting, written=engine.written
    )


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether requests for text are taken."""

    status: Annotated[
        State,
        Meta(description="restarting: the model failed, and is loaded anew. draining, closed: it is being stopped."),
    ]


@get(
    "/readyz",
    guards=[for_all],
    operation_id="readReadiness",
    summary="Whether the server takes requests for text",
    tags=["server"],
    response_description="It does.",
    responses={503: Answered(Readiness, description="It does not, for now or for good.")},
)
async def readiness(engine: NamedDependency[AnyEngine]) -> Response[Readiness]:
    """For what hands requests to one of several servers. Who only wants to know that it is alive asks for /healthz."""
    state = engine.state
    ready = state == "ready"
    headers = {} if ready else {"Retry-After": "5"}
    return Response(Readiness(status=state), status_code=200 if ready else 503, headers=headers)
