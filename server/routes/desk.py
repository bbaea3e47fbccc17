"""The page: a form, and a plot written into the answer to it. Works without JavaScript."""

from typing import Any

from litestar import MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.response import Redirect, Stream

from server.brief import DEFAULTS, Brief, BriefError
from server.engine import Engine, EngineBusy
from server.pages import Pages
from server.plot import Plot
from server.routes.answers import STREAM_HEADERS
from server.routes.fields import typed_fields
from server.settings import Settings


@get("/", include_in_schema=False)
async def desk(request: Request[Any, Any, Any], pages: NamedDependency[Pages]) -> Response[str]:
    """The form; fields of the query are filled in, so that a plot's link brings its form back."""
    page = await pages.render("desk.html", typed=DEFAULTS | await typed_fields(request))
    return Response(page, media_type=MediaType.HTML)


@get("/plot", include_in_schema=False)
async def back_to_desk() -> Redirect:
    """Someone opened the address of an answer: there is nothing to answer."""
    return Redirect("/")


@post("/plot", status_code=200, include_in_schema=False)
async def write_plot(
    request: Request[Any, Any, Any],
    pages: NamedDependency[Pages],
    engine: NamedDependency[Engine],
    settings: NamedDependency[Settings],
) -> Response[Any]:
    """The page with the plot, streamed as it is written; or the form with what is wrong (422, 503)."""
    typed = DEFAULTS | await typed_fields(request)
    try:
        plot = Plot(engine, Brief.read(typed, engine.bundle.manifest), settings.max_tokens)
    except BriefError as error:
        page = await pages.render("desk.html", typed=typed, problems=error.problems)
        return Response(page, media_type=MediaType.HTML, status_code=422)
    except EngineBusy as error:
        page = await pages.render("desk.html", typed=typed, notice=f"No plot this time: {error}.")
        return Response(
            page, media_type=MediaType.HTML, status_code=503, headers={"Retry-After": str(error.retry_after)}
        )
    return Stream(
        pages.stream("desk.html", typed=typed, plot=plot),
        media_type=MediaType.HTML,
        headers=STREAM_HEADERS,
        # Litestar runs it after the answer, also when the client has left in its middle: the work stops then.
        background=BackgroundTask(plot.cancel),
    )
