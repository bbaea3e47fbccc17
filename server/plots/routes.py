"""The routes of /api/plots, which docs/plots.md describes."""

from contextlib import suppress
from functools import partial
from typing import Annotated, Any, TypeAlias

from litestar import HttpMethod, Request, Response, Router, delete, get, post, route
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec import UNSET

from server.engine import EngineUnavailable
from server.http.access import client_of, for_all, for_completion, for_holders
from server.http.dependency import EngineDependency
from server.http.errors import headers_of, message_of, status_of
from server.http.headers import NOT_INDEXED
from server.http.rate_limit import WORK
from server.http.responses import error_specs, response_spec
from server.http.sse import EVENT_STREAM, EventStream
from server.plots.events import frames
from server.plots.place import EVENT_ID, LastEvent, TextDiffers
from server.plots.plots import Plots
from server.plots.schema import PlotRequest, PlotSoFar, Refusal, Started
from server.settings import Settings
from server.writing.brief import Brief, BriefError
from server.writing.fields import BriefCarrier

UNKNOWN = error_specs(Refusal, {404: "There is no such plot, or it was forgotten."}, 500, 503)
"""The errors of operations on one plot."""

LastEventId: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="Last-Event-ID",
        description="The last event you have; the response begins after it.",
        schema_extra={"pattern": EVENT_ID},
    ),
]
LastEventIdInQuery: TypeAlias = Annotated[
    str,
    QueryParameter(
        name="last-event-id",
        description="The same, for clients that cannot set the header. The header takes precedence.",
        schema_extra={"pattern": EVENT_ID},
    ),
]


@post(
    "/",
    request_class=BriefCarrier,
    guards=[for_completion],
    opt={WORK: True},
    operation_id="startPlot",
    summary="Start a plot",
    response_description="The plot was started.",
    responses=error_specs(
        Refusal,
        {
            400: "The body is not JSON, or a field has the wrong type.",
            415: "The body is neither JSON nor a form.",
            422: "A field has a value that the server cannot use; `problems` has a sentence for each such field.",
        },
        *(401, 403, 408, 413, 429, 500, 503),
    ),
)
async def start_plot(
    data: JSONBody[PlotRequest],
    request: Request[Any, Any, Any],
    plots: NamedDependency[Plots],
    engine: EngineDependency,
    settings: NamedDependency[Settings],
) -> Response[Started]:
    """Starts a plot. Without a reader, the server cancels it after a grace period."""
    brief = Brief.read(data.typed, engine.bundle.manifest).limited(settings.max_tokens)
    journal = await plots.start(brief, client_of(request))
    path = f"/api/plots/{journal.id}"
    address = settings.root_path + path
    started = Started(journal.id, journal.seed, address, f"{address}/events")
    return Response(started, headers={"Location": path})


@get(
    "/{plot_id:str}",
    guards=[for_holders],
    operation_id="readPlot",
    summary="Read a plot",
    response_description="The plot so far.",
    responses=UNKNOWN
    | error_specs(
        Refusal,
        {
            400: "The Last-Event-ID is not an event of this plot.",
            409: "The plot was begun with another model, or you have another text.",
        },
    ),
)
async def read_plot(
    plot_id: FromPath[str],
    plots: NamedDependency[Plots],
    last_event_id: LastEventId = "",
    last_event_id_in_query: LastEventIdInQuery = "",
) -> PlotSoFar:
    """Returns the plot so far, never less than your last event. The request restarts the grace period."""
    last = last_event(last_event_id, last_event_id_in_query)
    journal = await plots.find(plot_id, last)
    async for _ in journal.until(last):
        pass
    if journal.position(last) is None:
        raise EngineUnavailable("draining")
    return PlotSoFar.of(journal)


@delete(
    "/{plot_id:str}",
    guards=[for_holders],
    operation_id="stopPlot",
    summary="Stop a plot",
    response_description="The plot has ended.",
    responses=UNKNOWN,
)
async def cancel_plot(plot_id: FromPath[str], plots: NamedDependency[Plots]) -> None:
    """Stops a plot, within a second on all servers. You can still read its text so far.

    A plot that has ended stays as it is.
    """
    await plots.cancel(plot_id)


@get(
    "/{plot_id:str}/events",
    guards=[for_holders],
    operation_id="followPlot",
    summary="Follow a plot",
    responses=UNKNOWN
    | {
        200: response_spec(str, media_type=EVENT_STREAM, description="The events, as they come."),
        204: response_spec(None, description="The plot has ended, and you have all events: do not reconnect."),
    }
    | error_specs(Refusal, {400: "The Last-Event-ID is not an event of this plot."}),
)
async def follow_plot(
    plot_id: FromPath[str],
    plots: NamedDependency[Plots],
    settings: NamedDependency[Settings],
    last_event_id: LastEventId = "",
    last_event_id_in_query: LastEventIdInQuery = "",
) -> Response[Any]:
    """Streams a plot as server-sent events, from the beginning or after the last event you have.

    The events are `token` {"text"}, then `done` {"finish_reason", "usage", "seed"} or `error` {"message"}. Each id
    names a place in the text. If the connection breaks or the server restarts, reconnect to get the rest.
    """
    last = last_event(last_event_id, last_event_id_in_query)
    if last.ended:
        return Response(None, status_code=204)
    journal = await plots.find(plot_id, last)
    with suppress(TextDiffers):  # the stream says so
        position = journal.position(last)
        if journal.end is not None and position == (len(journal.feed.items), 0):
            return Response(None, status_code=204)
    plots.join(journal)
    return EventStream(frames(journal, last, settings.heartbeat), partial(plots.leave, journal))


def last_event(in_header: str, in_query: str) -> LastEvent:
    """Return the last event that a client has. Raises UnknownEvent if either is no id."""
    # A browser that reconnects sends the header, and its first query again.
    header, query = LastEvent.read(in_header), LastEvent.read(in_query)
    return header if in_header else query


def plot_error(_: Request[Any, Any, Any], error: Exception) -> Response[Refusal]:
    """Answer with {"message": …}, and with the problem of each field of a bad brief."""
    message = message_of(error)
    if isinstance(error, ValidationException):
        faults: list[str] = [
            f"{fault.get('key', 'data')}: {fault['message']}" for fault in list[Any](error.extra or ())
        ]
        message = f"The body does not describe a plot: {'; '.join(faults)}."
    problems = error.problems if isinstance(error, BriefError) else UNSET
    return Response(Refusal(message, problems), status_code=status_of(error), headers=headers_of(error) | NOT_INDEXED)


@route("/{plot_id:str}", http_method=HttpMethod.OPTIONS, status_code=204, guards=[for_all], include_in_schema=False)
async def plot_options() -> Response[None]:
    """Name all methods. Litestar's own response would name only those of one handler."""
    return Response(None, headers={"Allow": "DELETE, GET, OPTIONS"})


plots_api = Router(
    "/api/plots",
    route_handlers=[plot_options, start_plot, read_plot, cancel_plot, follow_plot],
    exception_handlers={Exception: plot_error},
    response_headers={"Cache-Control": "no-store"} | NOT_INDEXED,
    tags=["plots"],
)
