"""The shelf: a writer's plots, and what they can do with each."""

import asyncio

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from server.desk import Desk
from server.desk.visit import Visiting
from server.http.access import for_desk, for_holders
from server.http.headers import NOT_INDEXED
from server.pictures import Pictures
from server.rendering import Pages

PAGE = 20
"""Plots on a page of the list."""

MAX_SEARCH = 200


@get("/shelf", guards=[for_desk])
async def list_plots(visit: Visiting, q: FromQuery[str] = "", skip: FromQuery[int] = 0) -> Response[str]:
    """The plots that changed last, or those that contain all words of a search."""
    entries, count = await visit.desk.shelf.browse(visit.owner, q[:MAX_SEARCH], skip, PAGE)
    return await visit.page("shelf.html", entries=entries, count=count, search=q, skip=max(skip, 0), step=PAGE)


@get("/shelf/{plot_id:str}/about", guards=[for_desk])
async def show_plot(plot_id: FromPath[str], visit: Visiting, pictures: NamedDependency[Pictures]) -> Response[str]:
    """A plot's page: its title, picture and exports, and the tree of everything tried."""
    volume = await visit.read(plot_id)
    return await visit.page("plot.html", plot=volume, share=visit.share_link(volume), service=pictures.real)


@post("/shelf/{plot_id:str}", guards=[for_desk], status_code=303)
async def change_plot(plot_id: FromPath[str], visit: Visiting) -> Redirect:
    """Press a button: `do` is rename, share, withdraw or delete; `go` and `branch` name a passage."""
    form = await visit.form(do="", title="")
    visit.check(form)
    owner, shelf, address = visit.owner, visit.desk.shelf, f"/shelf/{plot_id}/about"
    match form:
        case {"go": number}:
            await shelf.choose(owner, plot_id, passage_number(number))
            address = f"/shelf/{plot_id}"
        case {"branch": number}:
            branch = await shelf.branch(owner, plot_id, passage_number(number))
            address = f"/shelf/{branch.id}"
        case {"do": "delete"}:
            await visit.desk.offers.stop(plot_id)
            await shelf.delete(owner, plot_id)
            address = "/shelf"
        case {"do": "rename"}:
            await shelf.rename(owner, plot_id, form["title"])
        case {"do": "share"}:
            await shelf.share(owner, plot_id)
        case {"do": "withdraw"}:
            await shelf.withdraw(owner, plot_id)
        case _:
            raise ClientException("This page has no such button. Go back, reload the page, and try again.")
    return Redirect(address, status_code=303)


@get("/shelf/{plot_id:str}/plot.txt", guards=[for_desk])
async def as_text(plot_id: FromPath[str], visit: Visiting) -> Response[str]:
    """A plot as a file of plain text."""
    return _file((await visit.read(plot_id)).plain(), "text/plain", "plot.txt")


@get("/shelf/{plot_id:str}/plot.md", guards=[for_desk])
async def as_markdown(plot_id: FromPath[str], visit: Visiting) -> Response[str]:
    """A plot as a file of Markdown."""
    volume = await visit.read(plot_id)
    return _file(await asyncio.to_thread(volume.markdown), "text/markdown", "plot.md")


@get("/shared/{share:str}", guards=[for_holders], media_type=MediaType.HTML, response_headers=NOT_INDEXED)
async def read_shared(share: FromPath[str], pages: NamedDependency[Pages], desk: NamedDependency[Desk]) -> str:
    """A plot that its writer shares."""
    return await pages.render("shared.html", plot=await desk.shelf.shared(share), share=share)


def passage_number(typed: str) -> int:
    """Return the number of a passage; -1, which no passage has, for anything else."""
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 9 else -1


def _file(text: str, media_type: str, name: str) -> Response[str]:
    return Response(text, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


shelf_pages = [list_plots, show_plot, change_plot, as_text, as_markdown, read_shared]
