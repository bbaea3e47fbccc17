"""The desk: a text, and what could come next, three at once. All of it works without JavaScript.

With JavaScript, `templates/static/desk.js` sends the same forms to the same addresses, and says in `Accept` what it
wants back: an offer as server-sent events, everything else as JSON.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from server.desk import Desk, Offer, Piece
from server.desk.session import FORM_TOKEN, page, sender, shelf_cookie, visitor
from server.engine import EngineBusy
from server.http.access import Access, for_desk
from server.http.errors import headers_of, status_of
from server.http.rate_limit import WORK
from server.http.responses import EVENT_STREAM, JSON, STREAM_HEADERS
from server.pages import Pages
from server.plots.events import HEARTBEAT
from server.settings import Settings
from server.shelf import NotOnShelf, ShelfError, Volume
from server.writing.brief import DEFAULTS, BriefError
from server.writing.fields import STEERING, form_fields, query_fields

LOST = "The text is not kept: {}"


class DeskState(msgspec.Struct, frozen=True):
    """A plot as the desk's script knows it. offers: what can be chosen now, by number."""

    plot: str
    address: str
    title: str
    text: str
    undo: bool
    redo: bool
    offers: list[tuple[int, str]]

    @classmethod
    def of(cls, volume: Volume) -> "DeskState":
        """What of a plot the desk shows."""
        return cls(
            plot=volume.id,
            address=f"/shelf/{volume.id}",
            title=volume.title,
            text=volume.text,
            undo=volume.undo is not None,
            redo=volume.redo is not None,
            offers=offered(volume),
        )


def offered(volume: Volume) -> list[tuple[int, str]]:
    """The three that were offered last after the text as it is."""
    return [(passage.number, passage.text) for passage in volume.children if passage.by == "model"][-3:]


@get("/", guards=[for_desk])
async def blank_desk(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], desk: NamedDependency[Desk]
) -> Response[str]:
    """A blank page; fields of the query are filled in, so that a link can bring a beginning along."""
    owner = visitor(request, desk)
    typed = DEFAULTS | query_fields(request)
    text = await pages.render("desk.html", typed=typed, token=desk.writers.token(owner))
    return page(text, shelf_cookie(request, desk.writers, owner))


@get("/shelf/{plot_id:str}", guards=[for_desk])
async def open_plot(
    request: Request[Any, Any, Any],
    plot_id: FromPath[str],
    pages: NamedDependency[Pages],
    desk: NamedDependency[Desk],
) -> Response[str]:
    """A plot from the shelf, with what was offered last."""
    owner = visitor(request, desk)
    volume = await desk.shelf.read(owner, plot_id)
    typed = DEFAULTS | {"text": volume.text} | query_fields(request)
    if volume.genre in pages.genres:
        typed["genre"] = volume.genre
    text = await pages.render(
        "desk.html", typed=typed, token=desk.writers.token(owner), plot=volume, offers=offered(volume)
    )
    return page(text, shelf_cookie(request, desk.writers, owner))


@get("/desk", guards=[for_desk])
async def back_to_desk() -> Redirect:
    """Someone opened the address of an answer: there is nothing to answer."""
    return Redirect("/")


@post("/desk", status_code=200, guards=[for_desk], opt={WORK: True})
async def at_desk(
    request: Request[Any, Any, Any],
    pages: NamedDependency[Pages],
    desk: NamedDependency[Desk],
    access: NamedDependency[Access],
    settings: NamedDependency[Settings],
) -> Response[Any]:
    """Does what a button of the form says: `do` is continue, keep, stop, undo or redo; `choose` the passage to take.

    The text is kept before anything else. Answers with the page, streamed as the offer is written, or with a redirect
    to it; with what is wrong in the page, where something is (403, 413, 422, 429, 503).
    """
    typed = DEFAULTS | {"text": "", "plot": "", "do": "", "choose": "", FORM_TOKEN: ""} | await form_fields(request)
    typed["text"] = typed["text"].replace("\r\n", "\n")
    wants = request.headers.get("accept", "")
    volume: Volume | None = None

    async def refuse(error: Exception, problems: dict[str, str], notice: str) -> Response[Any]:
        status, headers = status_of(error), headers_of(error)
        if JSON in wants or EVENT_STREAM in wants:
            state = DeskState.of(volume) if volume else None
            told = {"message": notice, "problems": problems, "state": state}
            return Response(told, status_code=status, headers=headers)
        owner = visitor(request, desk)
        text = await pages.render(
            "desk.html",
            typed=typed,
            token=desk.writers.token(owner),
            plot=volume,
            problems=problems,
            notice=notice,
            offers=offered(volume) if volume else [],
        )
        answer = page(text, shelf_cookie(request, desk.writers, owner), status=status)
        answer.headers.update(headers)
        return answer

    try:
        owner = sender(request, desk, typed[FORM_TOKEN])
        volume = await _kept(desk, owner, typed)
        if typed["do"] == "continue":
            offer = await desk.offer(owner, volume, typed, access.client_of(request))
            return _answer_with(offer, volume, pages, desk, typed, owner, settings.heartbeat, EVENT_STREAM in wants)
    except PermissionDeniedException as error:
        return await refuse(error, {}, error.detail)
    except NotOnShelf as error:
        typed["plot"] = ""  # the next try begins a new plot with the text
        return await refuse(error, {}, LOST.format(error.message))
    except ShelfError as error:
        return await refuse(error, {"text": LOST.format(error.message)}, "")
    except BriefError as error:
        return await refuse(error, error.problems, "")
    except EngineBusy as error:
        return await refuse(error, {}, f"Your text is kept. {error.message}")
    if JSON in wants:
        return Response(DeskState.of(volume))
    steering = {name: typed[name] for name in STEERING if typed[name] != DEFAULTS[name] and name != "genre"}
    return Redirect(f"/shelf/{volume.id}", status_code=303, query_params=steering or None)


async def _kept(desk: Desk, owner: str, typed: dict[str, str]) -> Volume:
    """Keeps the text, and goes where the button says."""
    plot_id, text, do = typed["plot"], typed["text"], typed["do"]
    number = typed["choose"]
    if plot_id and number.isascii() and number.isdigit() and len(number) < 9:
        return await desk.take(owner, plot_id, text, int(number))
    if do == "stop" and plot_id:
        await desk.offers.stop(plot_id)
    volume = await desk.keep(owner, plot_id, text, typed["genre"])
    if do == "undo":
        return await desk.shelf.undo(owner, volume.id)
    if do == "redo":
        return await desk.shelf.redo(owner, volume.id)
    return volume


def _answer_with(
    offer: Offer,
    volume: Volume,
    pages: Pages,
    desk: Desk,
    typed: dict[str, str],
    owner: str,
    heartbeat: float,
    events: bool,
) -> Stream:
    # Litestar runs it after the answer, also when the client has left in its middle: the work stops then.
    stop = BackgroundTask(offer.stop)
    if events:
        return Stream(
            _frames(offer, volume, heartbeat), media_type=EVENT_STREAM, headers=STREAM_HEADERS, background=stop
        )
    rendered = pages.stream(
        "desk.html", typed=typed, token=desk.writers.token(owner), plot=volume, offer=_events(offer)
    )
    return Stream(rendered, media_type=MediaType.HTML, headers=STREAM_HEADERS, background=stop)


async def _events(offer: Offer) -> AsyncIterator[Any]:
    async for events in offer.feed.follow():
        for event in events:
            yield event


async def _frames(offer: Offer, volume: Volume, heartbeat: float) -> AsyncIterator[bytes]:
    """The state of the plot, the pieces as they come, and what there is to choose at the end."""
    yield _frame("kept", DeskState.of(volume))
    async for events in offer.feed.follow(heartbeat=heartbeat):
        yield (
            b"".join(_frame("piece" if isinstance(event, Piece) else "settled", event) for event in events) or HEARTBEAT
        )


def _frame(name: str, value: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(value))


desk_pages = [blank_desk, open_plot, back_to_desk, at_desk]
