"""The desk: a text, and three continuations at once. All of it works without JavaScript.

With JavaScript, `templates/static/desk.js` saves with the same form, and asks in `Accept` for JSON in place of a page.
It has suggestions from addresses of its own (`server/desk/caret_routes.py`).
"""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import Provide
from litestar.exceptions import TooManyRequestsException
from litestar.params import FromPath
from litestar.response import Redirect
from msgspec import structs

from server.desk import Offer, Piece, Settled
from server.desk.answers import EXPLAINED, DeskState, authors, explanation, offered, refusal
from server.desk.caret_routes import MAX_FORM, caret_routes, desk_form
from server.desk.desk import REMEMBERED
from server.desk.fork_routes import fork_pages
from server.desk.picture_routes import picture_pages
from server.desk.shelf_routes import passage_number, shelf_pages
from server.desk.visit import Visit, Visiting
from server.engine import EngineBusy
from server.http.access import client_of, for_desk
from server.http.errors import for_script, headers_of, status_of
from server.http.rate_limit import count_text
from server.shelf import Volume
from server.shelf.marks import mark
from server.writing.brief import ANY_GENRE, DEFAULTS
from server.writing.fields import query_fields


@get("/", guards=[for_desk])
async def blank_desk(visit: Visiting) -> Response[str]:
    """A blank page. A link can fill in its fields, in the query."""
    last = await visit.desk.shelf.steering(visit.owner)
    kept = {name: last[name] for name in REMEMBERED if name in last}
    remembered = bool(kept.items() - DEFAULTS.items())
    return await visit.page("desk.html", typed=filled(visit, kept), remembered=remembered, known=mark(""))


@get("/shelf/{plot_id:str}", guards=[for_desk])
async def open_plot(plot_id: FromPath[str], visit: Visiting) -> Response[str]:
    """A plot from the shelf, with the last offer."""
    volume = await visit.read(plot_id)
    typed = filled(visit, {"text": volume.text, "genre": volume.genre} | volume.steering)
    shown = {"typed": typed, "offers": offered(volume), "authors": authors(volume)}
    replaced = passage_number(visit.request.query_params.get("replaced", ""))
    if replaced >= 0:
        volume = structs.replace(volume, replaced=replaced)
    return await visit.page("desk.html", **shown, plot=volume, known=mark(volume.text))


@get("/desk", guards=[for_desk])
async def back_to_desk() -> Redirect:
    """The address of the form, opened without one."""
    return Redirect("/")


@post("/desk", status_code=200, guards=[for_desk], request_max_body_size=MAX_FORM)
async def at_desk(visit: Visiting) -> Response[Any]:
    """Press a button.

    `do` is continue, keep, stop, undo, redo, go, words, rewrite or about. With `read`, nothing is kept.

    `choose` is the passage to take, `taken` words of the model between `text` and `rest`, `go` the passage to go to.
    With `undone`, the writer has undone what they did after an earlier text. `known` are marks of the texts that the
    page knows: see `Shelf.keep`.

    The server keeps the text before anything else. The response is the page, streamed with its offer, or a redirect to
    it, or to the page of other words, of other versions, or of all about the plot. For mistakes (403, 413, 422, 429,
    503) it is the page with an explanation.
    """
    typed = await desk_form(visit)
    script = for_script(visit.request)
    volume: Volume | None = None
    try:
        visit.check(typed)
        volume = await _kept(visit, typed)
        typed |= {"text": volume.text, "rest": "", "taken": ""}
        if typed["do"] == "continue":
            count_text(visit.request)
            offer = await visit.desk.offer(visit.owner, volume, typed, client_of(visit.request))
            stop = BackgroundTask(offer.stop)
            known = mark(volume.text)
            return visit.stream("desk.html", stop, typed=typed, plot=volume, known=known, offer=_events(offer))
    except EXPLAINED as error:
        return await _refused(error, visit, typed, volume, script)
    if script:
        return Response(DeskState.of(volume, visit.root_path))
    address = f"/shelf/{volume.id}"
    told = {"seed": typed["seed"]} if typed["seed"] else {}
    if volume.replaced is not None:
        told["replaced"] = str(volume.replaced)
    elif typed["do"] in ("words", "rewrite", "about"):
        address += f"/{typed['do']}"
    return Redirect(address, status_code=303, query_params=told or None)


async def _kept(visit: Visit, typed: dict[str, str]) -> Volume:
    """Keep the text, then press the button."""
    owner, desk, plot_id, do = visit.owner, visit.desk, typed["plot"], typed["do"]
    if plot_id and (number := passage_number(typed["choose"])) >= 0:
        return await desk.choose(owner, typed, number)
    if plot_id and do == "read":
        return await desk.shelf.read(owner, plot_id)
    if typed["taken"]:
        return await desk.take(owner, typed)
    if do == "stop" and plot_id:
        await desk.offers.stop(plot_id)
    volume = await desk.keep(owner, typed, closed=do == "continue")
    if plot_id not in ("", volume.id):
        return volume  # of a plot that was deleted, only the text could be kept
    if volume.replaced is not None or volume.text != typed["text"] + typed["rest"]:
        return volume  # another page has changed the plot: its writer sees that first
    match do:
        case "undo":
            return await desk.shelf.undo(owner, volume.id)
        case "redo":
            return await desk.shelf.redo(owner, volume.id)
        case "go":
            return await desk.shelf.choose(owner, volume.id, passage_number(typed["go"]))
    return volume


async def _refused(
    error: Exception, visit: Visit, typed: dict[str, str], volume: Volume | None, script: bool
) -> Response[Any]:
    """Return the desk with an explanation. script: as JSON."""
    notice, problems = explanation(error)
    if isinstance(error, EngineBusy | TooManyRequestsException):
        notice = f"Your text is kept. {notice}"
    if script:
        return refusal(error, notice, problems)
    typed |= {"text": typed["text"] + typed["rest"]}
    known = mark(volume.text) if volume else typed["known"].rpartition(",")[2]
    shown = {"typed": typed, "plot": volume, "known": known, "offers": offered(volume) if volume else []}
    response: Response[Any] = await visit.page("desk.html", **shown, problems=problems, notice=notice)
    response.status_code = status_of(error)
    response.headers.update(headers_of(error))
    return response


def filled(visit: Visit, kept: dict[str, str]) -> dict[str, str]:
    """Return the fields of the page: those in its address, else from the shelf, else the defaults.

    A genre that the model does not know becomes any.
    """
    fields = DEFAULTS | kept | query_fields(visit.request)
    genre = visit.desk.engine.bundle.manifest.prompt.genre_of(fields["genre"])
    return fields | {"genre": genre or ANY_GENRE}


async def _events(offer: Offer) -> AsyncIterator[Piece | Settled]:
    async for events in offer.feed.follow():
        for event in events:
            yield event


desk_pages = Router(
    "/",
    route_handlers=[
        blank_desk,
        open_plot,
        back_to_desk,
        at_desk,
        *caret_routes,
        *fork_pages,
        *shelf_pages,
        *picture_pages,
    ],
    dependencies={"visit": Provide(Visit.of, sync_to_thread=False)},
    response_headers={"Cache-Control": "no-store"},
)
