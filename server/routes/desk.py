"""The page: a form, and a plot written into the answer to it. Works without JavaScript."""

from typing import Any

from litestar import MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.response import Redirect, Stream

from server.access.access import DESK_COOKIE, DESK_SECONDS, Access, for_desk
from server.access.rate import WORK
from server.brief import DEFAULTS, Brief, BriefError
from server.engine import Engine, EngineBusy
from server.openai.errors import headers_of, status_of
from server.pages import Pages
from server.plot import Plot
from server.routes.answers import STREAM_HEADERS
from server.routes.fields import typed_fields
from server.settings import Settings


@get("/", guards=[for_desk], include_in_schema=False)
async def desk(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], access: NamedDependency[Access]
) -> Response[str]:
    """The form; fields of the query are filled in, so that a plot's link brings its form back."""
    page = await pages.render("desk.html", typed=DEFAULTS | await typed_fields(request))
    answer = Response(page, media_type=MediaType.HTML)
    if (value := access.desk_pass()) is not None:
        secure = request.scope["scheme"] == "https"
        answer.set_cookie(DESK_COOKIE, value, DESK_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer


@get("/plot", guards=[for_desk], include_in_schema=False)
async def back_to_desk() -> Redirect:
    """Someone opened the address of an answer: there is nothing to answer."""
    return Redirect("/")


@post("/plot", status_code=200, guards=[for_desk], opt={WORK: True}, include_in_schema=False)
async def write_plot(
    request: Request[Any, Any, Any],
    pages: NamedDependency[Pages],
    engine: NamedDependency[Engine],
    settings: NamedDependency[Settings],
    access: NamedDependency[Access],
) -> Response[Any]:
    """The page with the plot, streamed as it is written; or the form with what is wrong (422, 429, 503)."""
    typed = DEFAULTS | await typed_fields(request)
    try:
        plot = Plot(engine, Brief.read(typed, engine.bundle.manifest), settings.max_tokens, access.client_of(request))
    except BriefError as error:
        page = await pages.render("desk.html", typed=typed, problems=error.problems)
        return Response(page, media_type=MediaType.HTML, status_code=422)
    except EngineBusy as error:
        page = await pages.render("desk.html", typed=typed, notice=f"No plot this time: {error}.")
        return Response(
            page,
            media_type=MediaType.HTML,
            status_code=status_of(error),
            headers=headers_of(error),
        )
    return Stream(
        pages.stream("desk.html", typed=typed, plot=plot),
        media_type=MediaType.HTML,
        headers=STREAM_HEADERS,
        # Litestar runs it after the answer, also when the client has left in its middle: the work stops then.
        background=BackgroundTask(plot.cancel),
    )
