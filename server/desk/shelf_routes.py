"""The shelf: what a writer keeps, and what may be done with it."""

from typing import Any

from litestar import MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from server.desk import Desk
from server.desk.session import FORM_TOKEN, page, sender, shelf_cookie, visitor
from server.http.access import for_desk, for_holders
from server.pages import Pages, card
from server.pictures import Pictures
from server.shelf import Volume
from server.writing.fields import form_fields

PAGE = 20
"""Plots on a page of the list."""

MARKDOWN = "text/markdown"
MAX_SEARCH = 200


@get("/shelf", guards=[for_desk])
async def list_plots(
    request: Request[Any, Any, Any],
    pages: NamedDependency[Pages],
    desk: NamedDependency[Desk],
    q: FromQuery[str] = "",
    skip: FromQuery[int] = 0,
) -> Response[str]:
    """The plots that changed last, or those that have some words in them."""
    owner = visitor(request, desk)
    entries, count = await desk.shelf.browse(owner, q[:MAX_SEARCH], skip, PAGE)
    text = await pages.render("shelf.html", entries=entries, count=count, search=q, skip=max(skip, 0), step=PAGE)
    return page(text, shelf_cookie(request, desk.writers, owner))


@get("/shelf/{plot_id:str}/about", guards=[for_desk])
async def show_plot(
    request: Request[Any, Any, Any],
    plot_id: FromPath[str],
    pages: NamedDependency[Pages],
    desk: NamedDependency[Desk],
    pictures: NamedDependency[Pictures],
) -> Response[str]:
    """What can be done with a plot, and the tree of what was tried."""
    owner = visitor(request, desk)
    volume = await desk.shelf.read(owner, plot_id)
    text = await pages.render(
        "plot.html",
        plot=volume,
        share=share_link(request, volume),
        token=desk.writers.token(owner),
        service=pictures.real,
    )
    return page(text, shelf_cookie(request, desk.writers, owner))


@post("/shelf/{plot_id:str}", guards=[for_desk], status_code=303)
async def change_plot(request: Request[Any, Any, Any], plot_id: FromPath[str], desk: NamedDependency[Desk]) -> Redirect:
    """Does what a button says: `do` is rename, share, withdraw or delete; `go` and `branch` name a passage."""
    fields = {"do": "", "title": "", FORM_TOKEN: ""} | await form_fields(request)
    owner = sender(request, desk, fields[FORM_TOKEN])
    shelf = desk.shelf
    match fields:
        case {"go": number}:
            await shelf.choose(owner, plot_id, _passage(number))
            return Redirect(f"/shelf/{plot_id}", status_code=303)
        case {"branch": number}:
            branch = await shelf.branch(owner, plot_id, _passage(number))
            return Redirect(f"/shelf/{branch.id}", status_code=303)
        case {"do": "delete"}:
            await desk.offers.stop(plot_id)
            await shelf.delete(owner, plot_id)
            return Redirect("/shelf", status_code=303)
        case {"do": "rename"}:
            await shelf.rename(owner, plot_id, fields["title"])
        case {"do": "share"}:
            await shelf.share(owner, plot_id)
        case {"do": "withdraw"}:
            await shelf.withdraw(owner, plot_id)
    return Redirect(f"/shelf/{plot_id}/about", status_code=303)


@get("/shelf/{plot_id:str}/plot.txt", guards=[for_desk])
async def as_text(
    request: Request[Any, Any, Any], plot_id: FromPath[str], desk: NamedDependency[Desk]
) -> Response[str]:
    """A plot as a file of plain text."""
    volume = await desk.shelf.read(visitor(request, desk), plot_id)
    return _file(volume.plain(), MediaType.TEXT, "plot.txt")


@get("/shelf/{plot_id:str}/plot.md", guards=[for_desk])
async def as_markdown(
    request: Request[Any, Any, Any], plot_id: FromPath[str], desk: NamedDependency[Desk]
) -> Response[str]:
    """A plot as a file of Markdown."""
    volume = await desk.shelf.read(visitor(request, desk), plot_id)
    return _file(volume.markdown(), MARKDOWN, "plot.md")


@get("/shared/{share:str}", guards=[for_holders])
async def read_shared(
    share: FromPath[str], pages: NamedDependency[Pages], desk: NamedDependency[Desk]
) -> Response[str]:
    """A plot that its writer shares, to read."""
    return page(await pages.render("shared.html", plot=await desk.shelf.shared(share), share=share))


@get("/about", guards=[for_desk])
async def about(pages: NamedDependency[Pages], desk: NamedDependency[Desk]) -> Response[str]:
    """What the model is, and what it was made from."""
    bundle = desk.engine.bundle
    text = await pages.render("about.html", bundle=bundle.manifest, precision=desk.engine.precision, card=card(bundle))
    return page(text)


def share_link(request: Request[Any, Any, Any], volume: Volume) -> str | None:
    """The address by which anybody can read a plot, where it is shared."""
    return None if volume.token is None else f"{str(request.base_url).rstrip('/')}/shared/{volume.token}"


def _passage(number: str) -> int:
    """The number of a passage; of what is none, one that no plot has."""
    return int(number) if number.isascii() and number.isdigit() and len(number) < 9 else -1


def _file(text: str, media_type: str, name: str) -> Response[str]:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, media_type=f"{media_type}; charset=utf-8", headers=headers)


shelf_pages = [list_plots, show_plot, change_plot, as_text, as_markdown, read_shared, about]
