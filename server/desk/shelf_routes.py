"""The shelf: a writer's plots, and what they can do with each."""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, HTTPException
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Stream

from server.desk import Desk
from server.desk.archive import archive, file_name
from server.desk.uploads import MAX_UPLOAD, Upload, UploadError, drafts
from server.desk.visit import FORM_TOKEN, Visit, Visiting, absolute
from server.http.access import for_desk, for_holders
from server.http.headers import NOT_INDEXED
from server.pictures import Pictures
from server.rendering import Pages
from server.shelf import SORTS, ShelfFull

PAGE = 18
"""Plots on a page of the list."""

MAX_SEARCH = 200

DESCRIPTION = 200
"""Characters of a plot in the preview of its link."""

DELETED, DELETED_SECONDS = "plotify_deleted", 60
"""The cookie that carries the title of a deleted plot to the page of the shelf, which says it once."""


@get("/shelf", guards=[for_desk])
async def list_plots(
    visit: Visiting, q: FromQuery[str] = "", skip: FromQuery[int] = 0, sort: FromQuery[str] = ""
) -> Response[str]:
    """The plots of the shelf in some order, or those that contain all words of a search."""
    response = await _shelf(visit, q, skip, sort)
    if DELETED in visit.request.cookies:
        response.delete_cookie(DELETED, f"{visit.root_path}/shelf")
    return response


async def _shelf(
    visit: Visit, search: str = "", skip: int = 0, sort: str = "", refused: Sequence[str] = ()
) -> Response[str]:
    """Return the page of the shelf. refused: why files could not be taken in."""
    order = next((known for known in SORTS if known == sort), SORTS[0])
    entries, count = await visit.desk.shelf.browse(visit.owner, search[:MAX_SEARCH], skip, PAGE, order)
    return await visit.page(
        "shelf.html",
        entries=entries,
        count=count,
        search=search,
        skip=max(skip, 0),
        step=PAGE,
        sort=order,
        refused=refused,
        deleted=visit.request.cookies.get(DELETED),
    )


@post("/shelf", guards=[for_desk], status_code=303, request_max_body_size=MAX_UPLOAD)
async def take_in(visit: Visiting) -> Response[Any]:
    """Begin a plot with each of the posted files. The same form again changes nothing."""
    desk, owner = visit.desk, visit.owner
    try:
        upload = await _uploaded(visit.request)
        visit.check({FORM_TOKEN: "", **upload.fields})
        read = await asyncio.to_thread(drafts, upload.files, visit.pages.genres)
        for number, draft in enumerate(read):
            id = desk.writers.plot(owner, f"{upload.fields.get('page', '')}:{draft.digest}")
            try:
                begun = await desk.shelf.begin(owner, draft.text, title=draft.title, genre=draft.genre, id=id)
            except ShelfFull as error:
                taken = f"{number} of {len(read)} files are on your shelf now. " if number else ""
                raise UploadError(f"{taken}{error.message}") from error
    except UploadError as error:
        response = await _shelf(visit, refused=error.problems)
        response.status_code = error.status
        return response
    return Redirect(f"/shelf/{begun.id}" if len(read) == 1 else "/shelf", status_code=303)


async def _uploaded(request: Request[Any, Any, Any]) -> Upload:
    """Return the posted form. Raises UploadError if it is too large or none with files."""
    kind, options = request.content_type
    try:
        body = await request.body()
    except HTTPException as error:
        if error.status_code != 413:
            raise
        most = f"{MAX_UPLOAD // 1024:,} KiB"
        raise UploadError(f"These files are too large: they may have {most} together. Choose fewer.") from error
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise UploadError("This form has no files. Go back, reload the page, and try again.")
    return await asyncio.to_thread(Upload.read, body, options["boundary"])


@get("/shelf/plots.zip", guards=[for_desk])
async def all_plots(visit: Visiting) -> Stream:
    """All plots as one file."""
    pieces = archive(visit.desk.shelf, visit.owner)
    return Stream(pieces, media_type="application/zip", headers=_attached("plots", "zip"))


@get("/shelf/{plot_id:str}/about", guards=[for_desk])
async def show_plot(
    plot_id: FromPath[str], visit: Visiting, pictures: NamedDependency[Pictures], at: FromQuery[str] = ""
) -> Response[str]:
    """A plot's page: its title, picture and exports, and the tree of everything tried.

    at: the passage in the middle of the tree, by default the current one.
    """
    return await visit.page("plot.html", **await plot_page(visit, pictures, plot_id, at))


async def plot_page(visit: Visit, pictures: Pictures, plot_id: str, at: str = "") -> dict[str, Any]:
    """Return what a plot's page shows."""
    shelf, owner = visit.desk.shelf, visit.owner
    outline = await shelf.outline(owner, plot_id, passage_number(at) if at else None)
    entry = await shelf.entry(owner, plot_id)
    return {
        "plot": entry,
        "illustrated": await shelf.illustrated(owner, plot_id),
        "outline": outline,
        "share": visit.share_link(entry.token),
        "service": pictures.real,
        "file_name": file_name(entry.title),
    }


@post("/shelf/{plot_id:str}", guards=[for_desk], status_code=303)
async def change_plot(plot_id: FromPath[str], visit: Visiting) -> Redirect:
    """Press a button: `do` is rename, cover, share, withdraw or delete; `go` and `branch` name a passage."""
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
            return await _deleted(visit, plot_id)
        case {"do": "rename"}:
            await shelf.rename(owner, plot_id, form["title"])
            address += "#renamed"
        case {"do": "cover"}:
            await shelf.cover(owner, plot_id)
            address += "#picture"
        case {"do": "share"}:
            await shelf.share(owner, plot_id)
            address += "#share"
        case {"do": "withdraw"}:
            await shelf.withdraw(owner, plot_id)
            address += "#sharing"
        case _:
            raise ClientException("This page has no such button. Go back, reload the page, and try again.")
    return Redirect(address, status_code=303)


async def _deleted(visit: Visit, plot_id: str) -> Redirect:
    """Delete a plot, and go to the shelf, which says its title."""
    entry = await visit.desk.shelf.entry(visit.owner, plot_id)
    await visit.desk.offers.stop(plot_id)
    await visit.desk.shelf.delete(visit.owner, plot_id)
    cookie = Cookie(
        DELETED,
        value=quote(entry.title),
        max_age=DELETED_SECONDS,
        path=f"{visit.root_path}/shelf",
        httponly=True,
        secure=visit.request.scope["scheme"] == "https",
    )
    return Redirect("/shelf", status_code=303, cookies=[cookie])


@get("/shelf/{plot_id:str}/plot.txt", guards=[for_desk])
async def as_text(plot_id: FromPath[str], visit: Visiting) -> Response[str]:
    """A plot as a file of plain text."""
    plot, _ = await visit.desk.shelf.written(visit.owner, plot_id)
    return Response(plot.plain(), media_type="text/plain", headers=_attached(file_name(plot.title), "txt"))


@get("/shelf/{plot_id:str}/plot.md", guards=[for_desk])
async def as_markdown(plot_id: FromPath[str], visit: Visiting) -> Response[str]:
    """A plot as a file of Markdown."""
    plot, _ = await visit.desk.shelf.written(visit.owner, plot_id)
    text = await asyncio.to_thread(plot.markdown)
    return Response(text, media_type="text/markdown", headers=_attached(file_name(plot.title), "md"))


@get("/shared/{share:str}", guards=[for_holders], media_type=MediaType.HTML, response_headers=NOT_INDEXED)
async def read_shared(
    share: FromPath[str],
    request: Request[Any, Any, Any],
    pages: NamedDependency[Pages],
    desk: NamedDependency[Desk],
) -> str:
    """A plot that its writer shares."""
    plot = await desk.shelf.shared(share)
    address = absolute(request, f"/shared/{share}")
    words = " ".join(plot.text[: 2 * DESCRIPTION].split()) or "A plot that begins with a blank page."
    cut = words[:DESCRIPTION].rpartition(" ")[0] or words[:DESCRIPTION]
    description = words if len(words) <= DESCRIPTION else f"{cut}…"
    return await pages.render("shared.html", plot=plot, share=share, address=address, description=description)


def passage_number(typed: str) -> int:
    """Return the number of a passage; -1, which no passage has, for anything else."""
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 9 else -1


def _attached(name: str, ending: str) -> dict[str, str]:
    """Return the header for a file to be saved under this name.

    Clients that know only the first form of RFC 6266 take a plain one.
    """
    plain = f"plot.{ending}"
    return {"Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(f'{name}.{ending}')}"}


shelf_pages = [list_plots, take_in, all_plots, show_plot, change_plot, as_text, as_markdown, read_shared]
