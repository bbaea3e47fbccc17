"""Pictures of plots: drawn by the picture service, kept on the shelf; a cover if there is none."""

import asyncio
from collections.abc import AsyncIterator

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Stream
from msgspec import Struct

from server.desk import Desk
from server.desk.shelf_routes import plot_page
from server.desk.visit import Visit, Visiting
from server.http.access import client_of, for_desk, for_holders
from server.http.headers import NOT_INDEXED
from server.http.rate_limit import WORK
from server.pictures import Picture, PictureError, Pictures, cover, preview
from server.shelf import Entry, NotOnShelf, ShelfError, Written
from server.shelf import Picture as Kept


class PictureStatus(Struct, frozen=True):
    """The progress of a picture.

    share: from 0 to 1, None if unknown. drawn: it is on the shelf. failure: why there is no picture.
    """

    stage: str = ""
    share: float | None = None
    drawn: bool = False
    failure: str | None = None


@post("/shelf/{plot_id:str}/picture", status_code=200, guards=[for_desk], opt={WORK: True})
async def illustrate(plot_id: FromPath[str], visit: Visiting, pictures: NamedDependency[Pictures]) -> Stream:
    """The plot's page, streamed with the progress of its picture."""
    visit.check(await visit.form())
    plot, _ = await visit.desk.shelf.written(visit.owner, plot_id)
    drawing = _drawn(visit, pictures, plot_id, plot, client_of(visit.request))
    return visit.stream("plot.html", **await plot_page(visit, pictures, plot_id), drawing=drawing)


@get("/shelf/{plot_id:str}/picture", guards=[for_desk])
async def picture(plot_id: FromPath[str], visit: Visiting, v: FromQuery[str] = "") -> Response[bytes]:
    """The picture of a plot, or its cover.

    v: `Entry.picture`. A browser keeps what it gets for the right one.
    """
    entry = await visit.desk.shelf.entry(visit.owner, plot_id)
    try:
        drawn = _image(await visit.desk.shelf.picture(visit.owner, plot_id))
    except NotOnShelf:
        drawn = _cover(entry)
    if v == entry.picture:
        drawn.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return drawn


@get("/shared/{share:str}/picture", guards=[for_holders], response_headers=NOT_INDEXED)
async def shared_picture(share: FromPath[str], desk: NamedDependency[Desk]) -> Response[bytes]:
    """The picture of a shared plot, or its cover."""
    try:
        return _image(await desk.shelf.shared_picture(share))
    except NotOnShelf:
        return _cover(await desk.shelf.shared(share))


@get("/shared/{share:str}/preview", guards=[for_holders], response_headers=NOT_INDEXED)
async def shared_preview(share: FromPath[str], desk: NamedDependency[Desk]) -> Response[bytes]:
    """The picture of a shared plot for the preview of its link, never as SVG."""
    try:
        return _image(await desk.shelf.shared_picture(share))
    except NotOnShelf:
        plot = await desk.shelf.shared(share)
        return _image(await asyncio.to_thread(preview, plot.title, plot.genre or None, plot.cover))


async def _drawn(
    visit: Visit, pictures: Pictures, plot_id: str, plot: Written, client: str
) -> AsyncIterator[PictureStatus]:
    try:
        async for step in pictures.illustrate(plot.text, plot.title, plot.genre or None, client):
            if not isinstance(step, Picture):
                yield PictureStatus(step.stage, step.share)
            elif pictures.real:
                await visit.desk.shelf.illustrate(visit.owner, plot_id, step.media_type, step.content, step.prompt)
                yield PictureStatus(drawn=True)
    except PictureError as error:
        yield PictureStatus(failure=str(error))
    except ShelfError as error:
        yield PictureStatus(failure=error.message)


def _image(drawn: Kept | Picture) -> Response[bytes]:
    return Response(drawn.content, media_type=drawn.media_type)


def _cover(plot: Written | Entry) -> Response[bytes]:
    return _image(cover(plot.title, plot.genre or None, plot.cover))


picture_pages = [illustrate, picture, shared_picture, shared_preview]
