"""Pictures of plots: drawn by the service of the settings, kept on the shelf; covers where there is none."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import MediaType, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Struct

from server.desk import Desk
from server.desk.session import FORM_TOKEN, sender, visitor
from server.desk.shelf_routes import share_link
from server.http.access import Access, for_desk, for_holders
from server.http.rate_limit import WORK
from server.http.responses import STREAM_HEADERS
from server.pages import Pages
from server.pictures import Picture, PictureError, Pictures, cover
from server.shelf import NotOnShelf, ShelfError, Volume, Written
from server.shelf import Picture as Kept
from server.writing.fields import form_fields


class PictureStatus(Struct, frozen=True):
    """How far a picture is. share: from 0 to 1, None where nobody knows. failure: why there is none."""

    stage: str = ""
    share: float | None = None
    failure: str | None = None


@post("/shelf/{plot_id:str}/picture", status_code=200, guards=[for_desk], opt={WORK: True})
async def illustrate(
    request: Request[Any, Any, Any],
    plot_id: FromPath[str],
    pages: NamedDependency[Pages],
    desk: NamedDependency[Desk],
    pictures: NamedDependency[Pictures],
    access: NamedDependency[Access],
) -> Stream:
    """The plot's page, into which it is said how far the picture is, until it is there."""
    owner = sender(request, desk, (await form_fields(request)).get(FORM_TOKEN, ""))
    volume = await desk.shelf.read(owner, plot_id)
    drawing = _drawn(desk, pictures, owner, volume, access.client_of(request))
    rendered = pages.stream(
        "plot.html",
        plot=volume,
        share=share_link(request, volume),
        token=desk.writers.token(owner),
        service=pictures.real,
        drawing=drawing,
    )
    return Stream(rendered, media_type=MediaType.HTML, headers=STREAM_HEADERS)


@get("/shelf/{plot_id:str}/picture", guards=[for_desk])
async def picture(
    request: Request[Any, Any, Any], plot_id: FromPath[str], desk: NamedDependency[Desk]
) -> Response[Any]:
    """The picture that is kept with a plot, or its cover."""
    owner = visitor(request, desk)
    try:
        return _image(await desk.shelf.picture(owner, plot_id))
    except NotOnShelf:
        return _cover(await desk.shelf.read(owner, plot_id))


@get("/shared/{share:str}/picture", guards=[for_holders])
async def shared_picture(share: FromPath[str], desk: NamedDependency[Desk]) -> Response[Any]:
    """The same, of a plot that is shared."""
    try:
        return _image(await desk.shelf.shared_picture(share))
    except NotOnShelf:
        return _cover(await desk.shelf.shared(share))


async def _drawn(
    desk: Desk, pictures: Pictures, owner: str, volume: Volume, client: str
) -> AsyncIterator[PictureStatus]:
    try:
        async for step in pictures.illustrate(volume.text, volume.title, volume.genre or None, client):
            if not isinstance(step, Picture):
                yield PictureStatus(step.stage, step.share)
            elif pictures.real:
                await desk.shelf.illustrate(owner, volume.id, step.media_type, step.content, step.prompt)
    except PictureError as error:
        yield PictureStatus(failure=str(error))
    except ShelfError as error:
        yield PictureStatus(failure=error.message)


def _image(kept: Kept) -> Response[bytes]:
    return Response(kept.content, media_type=kept.media_type, headers={"Cache-Control": "no-store"})


def _cover(plot: Written) -> Response[bytes]:
    drawn = cover(plot.title, plot.genre or None)
    return Response(drawn.content, media_type=drawn.media_type, headers={"Cache-Control": "no-store"})


picture_pages = [illustrate, picture, shared_picture]
