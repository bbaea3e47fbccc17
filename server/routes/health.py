"""Whether the server is well."""

from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from msgspec import Meta, Struct

from server.access.access import for_all
from server.engine import Engine


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
async def health(engine: NamedDependency[Engine]) -> Health:
    """The model that is served, how many requests it has, and how much it has written."""
    return Health(
        model=engine.bundle.manifest.name, running=engine.running, waiting=engine.waiting, written=engine.written
    )
