"""Plots for programs and for the page: started with one request, followed with others. docs/plots.md tells how."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, SerializationException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream

from server.brief import LENGTHS, WILDNESSES, Brief, BriefError
from server.engine import Engine, EngineError, FinishReason
from server.events import UnknownEvent, frames, position
from server.journal import Done, Failed, Usage
from server.plot import Plot
from server.plots import Plots, UnknownPlot
from server.routes.desk import STREAM_HEADERS
from server.routes.fields import typed_fields
from server.settings import Settings


class PlotRequest(msgspec.Struct, frozen=True):
    """What a writer asks for. What is absent, null or "" has its default."""

    prompt: Annotated[str, msgspec.Meta(description="How the plot begins.")] = ""
    genre: Annotated[str | None, msgspec.Meta(description="One of the model's genres, or any, the default.")] = None
    length: Annotated[str | None, msgspec.Meta(description=f"One of {', '.join(LENGTHS)}; lines is the default.")] = (
        None
    )
    wildness: Annotated[
        int | str | None,
        msgspec.Meta(description=f"From {min(WILDNESSES)}, close, to {max(WILDNESSES)}, wild; 3 is the default."),
    ] = None
    seed: Annotated[
        int | str | None,
        msgspec.Meta(description="A whole number of up to nine digits; the same gives the same plot. Absent: any."),
    ] = None

    @property
    def typed(self) -> dict[str, str]:
        """The fields that are there, as they are typed into the form."""
        return {name: str(value) for name, value in msgspec.structs.asdict(self).items() if value not in (None, "")}


class Started(msgspec.Struct, frozen=True):
    """A plot that is being written from now on."""

    id: str
    seed: Annotated[int, msgspec.Meta(description="What gives the same plot again.")]
    address: Annotated[str, msgspec.Meta(description="Path of what is there of it: GET; to stop it, DELETE.")] = (
        msgspec.field(name="self")
    )
    events: Annotated[str, msgspec.Meta(description="Path of its event stream.")]


class PlotSoFar(msgspec.Struct, frozen=True):
    """What is there of a plot."""

    id: str
    state: Annotated[
        Literal["waiting", "writing", "done", "error"],
        msgspec.Meta(description="waiting until its first token, then writing, until it is done or ended in an error."),
    ]
    prompt: str
    text: Annotated[str, msgspec.Meta(description="What was written so far, without the prompt.")]
    seed: Annotated[int, msgspec.Meta(description="What gives the same plot again.")]
    usage: Usage
    last_event_id: Annotated[int, msgspec.Meta(description="The event that the text reaches to; follow on from it.")]
    finish_reason: FinishReason | None
    problem: Annotated[str | None, msgspec.Meta(description="What went wrong, where the state is error.")]


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was not served."""

    message: str
    problems: Annotated[dict[str, str], msgspec.Meta(description="What is wrong with each field at fault.")] = (
        msgspec.field(default_factory=dict)
    )


class BriefCarrier(Request[Any, Any, Any]):
    """A request whose brief comes as JSON or as the fields of a form."""

    async def json(self) -> Any:
        """The brief's fields. Raises ClientException: 415 for a body of another kind, 400 for one that is not JSON."""
        kind, known = self.content_type[0], (RequestEncodingType.JSON.value, RequestEncodingType.URL_ENCODED.value)
        if kind not in known:
            raise ClientException(f"The body's type is {kind[:80]!r}; send {' or '.join(known)}.", status_code=415)
        if kind == RequestEncodingType.URL_ENCODED:
            return await typed_fields(self)
        try:
            return await super().json()
        except (SerializationException, RecursionError) as error:
            raise ClientException(f"The body is not JSON that can be read: {error}.") from error


NOTHING = PlotRequest()


@post(
    "/",
    request_class=BriefCarrier,
    responses={
        400: ResponseSpec(Refusal, description="The body is not JSON, or a field is of the wrong type."),
        413: ResponseSpec(Refusal, description="The body is far longer than any prompt that the model can read."),
        415: ResponseSpec(Refusal, description="The body is neither JSON nor a form."),
        422: ResponseSpec(Refusal, description="A field's value cannot be worked from."),
        503: ResponseSpec(Refusal, description="Too many wait; try again after Retry-After seconds."),
    },
)
async def start_plot(
    plots: NamedDependency[Plots],
    engine: NamedDependency[Engine],
    settings: NamedDependency[Settings],
    data: JSONBody[PlotRequest] = NOTHING,
) -> Response[Started]:
    """Starts a plot. It is written whether or not somebody follows it, for as long as the server's grace."""
    brief = Brief.read(data.typed, engine.bundle.manifest)
    journal = plots.start(Plot(engine, brief, settings.max_tokens))
    address = f"/api/plots/{journal.id}"
    return Response(
        Started(journal.id, journal.plot.seed, address, f"{address}/events"),
        headers={"Location": address, "Cache-Control": "no-store"},
    )


UNKNOWN = ResponseSpec(Refusal, description="There is no such plot, or no longer.")


@get("/{plot_id:str}", responses={404: UNKNOWN})
async def read_plot(plot_id: FromPath[str], plots: NamedDependency[Plots]) -> Response[PlotSoFar]:
    """What is there of a plot. Asking for it counts as following it for a moment."""
    journal = plots.find(plot_id)
    end = journal.end
    return Response(
        PlotSoFar(
            id=journal.id,
            state=end.name if end else "writing" if journal.events else "waiting",
            prompt=journal.plot.opening,
            text=journal.text,
            seed=journal.plot.seed,
            usage=journal.usage,
            last_event_id=len(journal.events),
            finish_reason=end.finish_reason if isinstance(end, Done) else None,
            problem=end.message if isinstance(end, Failed) else None,
        ),
        headers={"Cache-Control": "no-store"},
    )


@delete("/{plot_id:str}", responses={404: UNKNOWN})
async def cancel_plot(plot_id: FromPath[str], plots: NamedDependency[Plots]) -> None:
    """Stops a plot; for one that has ended, nothing. What was written of it can still be read."""
    await plots.cancel(plots.find(plot_id))


@get(
    "/{plot_id:str}/events",
    media_type="text/event-stream",
    responses={
        204: ResponseSpec(None, description="The plot has ended, and the reader has all of it: do not come back."),
        400: ResponseSpec(Refusal, description="The Last-Event-ID is no event of this plot."),
        404: UNKNOWN,
    },
)
async def follow_plot(
    plot_id: FromPath[str],
    plots: NamedDependency[Plots],
    settings: NamedDependency[Settings],
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="The last event that is known; those behind it are sent."),
    ] = None,
    last_event_id_in_query: Annotated[
        str | None,
        QueryParameter(name="last-event-id", description="The same, for clients that cannot set the header."),
    ] = None,
) -> Response[Any]:
    """A plot as server-sent events, from its beginning or from behind the last event that the reader knows.

    Each has its number as its id: `token` {"text"}, then at the end `done` {"finish_reason", "usage", "seed"} or
    `error` {"message"}. The connection may be lost: the plot goes on, and the reader comes back.
    """
    journal = plots.find(plot_id)
    # A browser that comes back by itself sends the header, and keeps the query it began with.
    after = position(last_event_id or last_event_id_in_query or "", journal)
    if journal.end is not None and after == len(journal.events):
        return Response(None, status_code=204)
    plots.join(journal)
    return Stream(
        frames(journal, after, settings.heartbeat),
        media_type="text/event-stream",
        headers=STREAM_HEADERS,
        # Litestar runs it after the answer, also when the client has left in its middle.
        background=BackgroundTask(plots.leave, journal),
    )


def _refuse(_: Request[Any, Any, Any], error: Exception) -> Response[Refusal]:
    match error:
        case BriefError():
            return Response(Refusal(str(error), error.problems), status_code=422)
        case EngineError():
            return Response(Refusal(f"No plot this time: {error}."), status_code=503, headers={"Retry-After": "5"})
        case ValidationException():
            return Response(Refusal(_faults(error)), status_code=400)
        case RequestEntityTooLarge():
            return Response(Refusal("That is far more text than the model can read. Shorten it."), status_code=413)
        case ClientException():
            return Response(Refusal(error.detail), status_code=error.status_code)
        case UnknownPlot():
            return Response(Refusal(str(error)), status_code=404)
    return Response(Refusal(str(error)), status_code=400)


def _faults(error: ValidationException) -> str:
    faults: list[Any] = list(error.extra or [])
    places = ["The body" if fault["key"] == "data" else fault["key"] for fault in faults]
    return "; ".join(f"{place}: {fault['message']}" for place, fault in zip(places, faults, strict=True))


api = Router(
    "/api/plots",
    route_handlers=[start_plot, read_plot, cancel_plot, follow_plot],
    exception_handlers=dict.fromkeys((BriefError, ClientException, EngineError, UnknownEvent, UnknownPlot), _refuse),
    tags=["plots"],
)
