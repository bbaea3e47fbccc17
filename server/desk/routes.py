"""The desk: a text, and three continuations at once. All of it works without JavaScript.

With JavaScript, `templates/static/desk.js` sends the same forms to the same addresses. It asks in `Accept` for
server-sent events in place of a page with an offer, and for JSON in place of the other pages.
"""

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import msgspec
from litestar import Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency, Provide
from litestar.exceptions import PermissionDeniedException, TooManyRequestsException
from litestar.params import FromPath
from litestar.response import Redirect

from server.desk import Offer, Piece, Settled
from server.desk.picture_routes import picture_pages
from server.desk.shelf_routes import passage_number, shelf_pages
from server.desk.visit import Visit, Visiting
from server.engine import EngineBusy
from server.http import sse
from server.http.access import Access, for_desk
from server.http.errors import headers_of, message_of, status_of
from server.http.rate_limit import count_text
from server.http.responses import JSON
from server.http.sse import EVENT_STREAM, HEARTBEAT
from server.settings import Settings
from server.shelf import NotOnShelf, ShelfError, Volume
from server.writing.brief import DEFAULTS, BriefError
from server.writing.fields import STEERING, query_fields

EXPLAINED = (BriefError, EngineBusy, PermissionDeniedException, ShelfError, TooManyRequestsException)
"""Errors with an explanation on the desk's page."""


MAX_FORM = 1280 * 1024
"""Bytes of the posted form.

A character of the text takes up to four bytes, and a form writes each of them as three letters.
"""


class DeskState(msgspec.Struct, frozen=True):
    """A plot as the desk's script knows it. offers: the number and text of each passage to choose from."""

    name: ClassVar[str] = "kept"
    plot: str
    address: str
    title: str
    text: str
    undo: bool
    redo: bool
    offers: list[tuple[int, str]]

    @classmethod
    def of(cls, volume: Volume, root_path: str) -> "DeskState":
        """Return the state of a plot."""
        return cls(
            plot=volume.id,
            address=f"{root_path}/shelf/{volume.id}",
            title=volume.title,
            text=volume.text,
            undo=volume.undo is not None,
            redo=volume.redo is not None,
            offers=offered(volume),
        )


def offered(volume: Volume) -> list[tuple[int, str]]:
    """Return the numbers and texts of the last three continuations offered for the current text."""
    return [(passage.number, passage.text) for passage in volume.children if passage.by == "model"][-3:]


@get("/", guards=[for_desk])
async def blank_desk(visit: Visiting) -> Response[str]:
    """A blank page. A link can fill in its fields, in the query."""
    return await visit.page("desk.html", typed=DEFAULTS | query_fields(visit.request))


@get("/shelf/{plot_id:str}", guards=[for_desk])
async def open_plot(plot_id: FromPath[str], visit: Visiting) -> Response[str]:
    """A plot from the shelf, with the last offer."""
    volume = await visit.read(plot_id)
    typed = DEFAULTS | {"text": volume.text} | query_fields(visit.request)
    if volume.genre in visit.pages.genres:
        typed["genre"] = volume.genre
    return await visit.page("desk.html", typed=typed, plot=volume, offers=offered(volume))


@get("/desk", guards=[for_desk])
async def back_to_desk() -> Redirect:
    """The address of the form, opened without one."""
    return Redirect("/")


@post("/desk", status_code=200, guards=[for_desk], request_max_body_size=MAX_FORM)
async def at_desk(
    visit: Visiting, access: NamedDependency[Access], settings: NamedDependency[Settings]
) -> Response[Any]:
    """Press a button: `do` is continue, keep, stop, undo or redo; `choose` is the passage to take.

    The server keeps the text before anything else. The response is the page, streamed with its offer, or a redirect to
    it; for mistakes (403, 413, 422, 429, 503) the page with an explanation.
    """
    typed = await visit.form(**DEFAULTS, text="", plot="", page="", do="", choose="")
    typed["text"] = typed["text"].replace("\r\n", "\n")
    wants = visit.request.headers.get("accept", "")
    volume: Volume | None = None
    try:
        visit.check(typed)
        volume = await _kept(visit, typed)
        if typed["do"] == "continue":
            count_text(visit.request)
            offer = await visit.desk.offer(visit.owner, volume, typed, access.client_of(visit.request))
            if EVENT_STREAM in wants:
                return sse.event_stream(
                    _frames(offer, DeskState.of(volume, visit.root_path), settings.heartbeat), offer.stop
                )
            stop = BackgroundTask(offer.stop)
            return visit.stream("desk.html", stop, typed=typed, plot=volume, offer=_events(offer))
    except EXPLAINED as error:
        return await _refused(error, visit, typed, volume, script=JSON in wants or EVENT_STREAM in wants)
    if JSON in wants:
        return Response(DeskState.of(volume, visit.root_path))
    steering = {name: typed[name] for name in STEERING if typed[name] != DEFAULTS[name] and name != "genre"}
    return Redirect(f"/shelf/{volume.id}", status_code=303, query_params=steering or None)


async def _kept(visit: Visit, typed: dict[str, str]) -> Volume:
    """Keep the text, then press the button."""
    owner, desk, plot_id, text, do = visit.owner, visit.desk, typed["plot"], typed["text"], typed["do"]
    if plot_id and (number := passage_number(typed["choose"])) >= 0:
        return await desk.take(owner, plot_id, text, number)
    if do == "stop" and plot_id:
        await desk.offers.stop(plot_id)
    volume = await desk.keep(owner, plot_id, text, typed["genre"], typed["page"], closed=do == "continue")
    if plot_id not in ("", volume.id):
        return volume  # of a plot that was deleted, only the text could be kept
    match do:
        case "undo":
            return await desk.shelf.undo(owner, volume.id)
        case "redo":
            return await desk.shelf.redo(owner, volume.id)
    return volume


async def _refused(
    error: Exception, visit: Visit, typed: dict[str, str], volume: Volume | None, script: bool
) -> Response[Any]:
    """Return the desk with an explanation. script: as JSON."""
    problems: dict[str, str] = {}
    notice = message_of(error)
    match error:
        case NotOnShelf():
            pass
        case ShelfError():
            problems, notice = {"text": f"The text is not kept: {notice}"}, ""
        case BriefError():
            problems, notice = error.problems, ""
        case EngineBusy() | TooManyRequestsException():
            notice = f"Your text is kept. {notice}"
    if script:
        state = DeskState.of(volume, visit.root_path) if volume else None
        response = Response[Any]({"message": notice, "problems": problems, "state": state})
    else:
        shown = {"typed": typed, "plot": volume, "offers": offered(volume) if volume else []}
        response = await visit.page("desk.html", **shown, problems=problems, notice=notice)
    response.status_code = status_of(error)
    response.headers.update(headers_of(error))
    return response


async def _events(offer: Offer) -> AsyncIterator[Piece | Settled]:
    async for events in offer.feed.follow():
        for event in events:
            yield event


async def _frames(offer: Offer, state: DeskState, heartbeat: float) -> AsyncIterator[bytes]:
    """Yield the state of the plot, the pieces as they come, and the passages to choose from at the end."""
    yield sse.event(state, state.name)
    async for events in offer.feed.follow(heartbeat=heartbeat):
        yield b"".join(sse.event(event, event.name) for event in events) or HEARTBEAT


desk_pages = Router(
    "/",
    route_handlers=[blank_desk, open_plot, back_to_desk, at_desk, *shelf_pages, *picture_pages],
    dependencies={"visit": Provide(Visit.of, sync_to_thread=False)},
    response_headers={"Cache-Control": "no-store"},
)
