"""Plots for programs and for the page: started with one request, followed with others. docs/plots.md tells how."""

from functools import partial
from typing import Annotated, Any

from litestar import HttpMethod, Request, Response, Router, delete, get, post, route
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec import UNSET

from server.http.access import Access, for_all, for_completion, for_holders
from server.http.dependency import EngineDependency
from server.http.errors import headers_of, message_of, status_of
from server.http.rate_limit import WORK
from server.http.responses import key_errors, rate_errors, response_spec, server_errors
from server.http.sse import EVENT_STREAM, event_stream
from server.plots.events import EVENT_ID, frames, position
from server.plots.plots import Plots
from server.plots.schema import PlotRequest, PlotSoFar, Refusal, Started
from server.settings import Settings
from server.writing.brief import Brief, BriefError
from server.writing.fields import BriefCarrier
from server.writing.plot import begin

error_spec = partial(response_spec, Refusal)
"""An error of /api, as its operation describes it."""


@post(
    "/",
    request_class=BriefCarrier,
    guards=[for_completion],
    opt={WORK: True},
    operation_id="startPlot",
    summary="Start a plot",
    response_description="The plot is being written.",
    responses=key_errors(error_spec)
    | rate_errors(error_spec)
    | server_errors(error_spec)
    | {
        400: error_spec(description="The body is not JSON, or a field is of the wrong type."),
        408: error_spec(description="The body took too long to arrive."),
        413: error_spec(description="The body is far longer than any prompt that the model can read."),
        415: error_spec(description="The body is neither JSON nor a form."),
        422: error_spec(description="A field's value cannot be worked from."),
        503: error_spec(description="Too many wait; try again after Retry-After seconds."),
    },
)
async def start_plot(
    data: JSONBody[PlotRequest],
    request: Request[Any, Any, Any],
    access: NamedDependency[Access],
    plots: NamedDependency[Plots],
    engine: EngineDependency,
    settings: NamedDependency[Settings],
) -> Response[Started]:
    """Starts a plot. It is written whether or not somebody follows it, for as long as the server's grace."""
    brief = Brief.read(data.typed, engine.bundle.manifest)
    [plot] = begin(engine, brief, settings.max_tokens, access.client_of(request))
    journal = plots.start(plot)
    address = f"/api/plots/{journal.id}"
    return Response(
        Started(journal.id, journal.plot.seed, address, f"{address}/events"),
        headers={"Location": address},
    )


UNKNOWN = {404: error_spec(description="There is no such plot, or it was forgotten.")} | server_errors(error_spec)


@get(
    "/{plot_id:str}",
    guards=[for_holders],
    operation_id="readPlot",
    summary="Read what is there of a plot",
    response_description="So far.",
    responses=UNKNOWN,
)
async def read_plot(plot_id: FromPath[str], plots: NamedDependency[Plots]) -> PlotSoFar:
    """What is there of a plot. Asking for it counts as following it for a moment."""
    return PlotSoFar.of(plots.find(plot_id))


@delete(
    "/{plot_id:str}",
    guards=[for_holders],
    operation_id="stopPlot",
    summary="Stop a plot",
    response_description="It has ended.",
    responses=UNKNOWN,
)
async def cancel_plot(plot_id: FromPath[str], plots: NamedDependency[Plots]) -> None:
    """Stops a plot; for one that has ended, nothing. What was written of it can still be read."""
    await plots.cancel(plots.find(plot_id))


@get(
    "/{plot_id:str}/events",
    guards=[for_holders],
    operation_id="followPlot",
    summary="Follow a plot",
    responses=UNKNOWN
    | {
        200: response_spec(str, media_type=EVENT_STREAM, description="The events, as they come."),
        204: response_spec(None, description="The plot has ended, and the reader has all of it: do not come back."),
        400: error_spec(description="The Last-Event-ID is no event of this plot."),
    },
)
async def follow_plot(
    plot_id: FromPath[str],
    plots: NamedDependency[Plots],
    settings: NamedDependency[Settings],
    last_event_id: Annotated[
        str,
        HeaderParameter(
            name="Last-Event-ID",
            description="The last event that is known; those behind it are sent.",
            schema_extra={"pattern": EVENT_ID},
        ),
    ] = "",
    last_event_id_in_query: Annotated[
        str,
        QueryParameter(
            name="last-event-id",
            description="The same, for clients that cannot set the header, which goes before.",
            schema_extra={"pattern": EVENT_ID},
        ),
    ] = "",
) -> Response[Any]:
    """A plot as server-sent events, from its beginning or from behind the last event that the reader knows.

    Each has its number as its id: `token` {"text"}, then at the end `done` {"finish_reason", "usage", "seed"} or
    `error` {"message"}. The connection may be lost: the plot goes on, and the reader comes back.
    """
    journal = plots.find(plot_id)
    # A browser that comes back by itself sends the header, and keeps the query it began with.
    in_header, in_query = (position(given, journal) for given in (last_event_id, last_event_id_in_query))
    after = in_header if last_event_id else in_query
    if journal.end is not None and after == len(journal.feed.items):
        return Response(None, status_code=204)
    plots.join(journal)
    return event_stream(frames(journal, after, settings.heartbeat), plots.leave, journal)


def plot_error(_: Request[Any, Any, Any], error: Exception) -> Response[Refusal]:
    """Answer with {"message": …}, and with the problem of each field of a bad brief."""
    message = message_of(error)
    if isinstance(error, ValidationException):
        faults: list[str] = [
            f"{fault.get('key', 'data')}: {fault['message']}" for fault in list[Any](error.extra or ())
        ]
        message = f"The body does not describe a plot: {'; '.join(faults)}."
    problems = error.problems if isinstance(error, BriefError) else UNSET
    return Response(Refusal(message, problems), status_code=status_of(error), headers=headers_of(error))


@route("/{plot_id:str}", http_method=HttpMethod.OPTIONS, status_code=204, guards=[for_all], include_in_schema=False)
async def plot_options() -> Response[None]:
    """Litestar's own answer names the methods of the handler that it saw first, and no others."""
    return Response(None, headers={"Allow": "DELETE, GET, OPTIONS"})


plots_api = Router(
    "/api/plots",
    route_handlers=[plot_options, start_plot, read_plot, cancel_plot, follow_plot],
    exception_handlers={Exception: plot_error},
    response_headers={"Cache-Control": "no-store"},
    tags=["plots"],
)
