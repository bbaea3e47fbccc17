"""The Litestar app around an engine."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.response import Stream

from server.completions.errors import headers_of, refusal, status_of
from server.completions.routes import completions_api
from server.desk import Desk, Offers, Writers
from server.desk.picture_routes import picture_pages
from server.desk.routes import at_desk, back_to_desk, blank_desk, open_plot
from server.desk.shelf_routes import shelf_pages
from server.engine import AnyEngine
from server.http.access import Access
from server.http.connection_limit import refuse_over_limit
from server.http.head import answer_head
from server.http.headers import security_headers
from server.http.keys import Keys
from server.http.rate_limit import STORE, per_minute
from server.http.request import TimedRequest
from server.http.static import static_files
from server.observability.middleware import route_of
from server.observability.observability import Observability
from server.observability.routes import health, metrics, readiness, status
from server.pages import Pages
from server.pictures import Pictures
from server.plots.plots import Plots
from server.plots.routes import plots_api
from server.reference.document import Reference
from server.reference.routes import docs
from server.settings import Settings
from server.shelf import Shelf, ShelfError

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
"""Bytes of a request's body: many times what any model's context holds."""

REFUSALS = {
    404: "There is nothing at this address.",
    405: "This address does not work that way.",
    408: "Your words took too long to arrive. Go back and send them again.",
    413: "That is far more text than the model can read. Go back and shorten it.",
    503: "Too many are here at the moment. Try again in a few seconds.",
}


def create_app(engine: AnyEngine, settings: Settings) -> Litestar:
    """The app; it closes the engine when it shuts down.

    Raises KeysError for keys that cannot be read, SettingsError for traces without the packages for
    them, and for a picture service that cannot be used.
    """
    keys = Keys(settings.keys, Path(settings.keys_file) if settings.keys_file else None)
    access = Access(keys, settings.desk == "open")
    pages = Pages(engine.bundle.manifest)
    pictures = Pictures(settings)
    plots = Plots(settings.plot_grace, settings.plot_ttl, settings.plot_limit)
    reference = Reference(engine)
    observability = Observability(engine, settings)

    @asynccontextmanager
    async def opened_desk(app: Litestar) -> AsyncIterator[None]:
        async with Shelf.open(settings.database) as shelf:
            desk = Desk(engine, shelf, Writers(await shelf.secret()), Offers(), settings.max_tokens)
            app.state.desk = desk
            yield
            await desk.offers.close()
            await pictures.close()

    @asynccontextmanager
    async def closing_engine(_: Litestar) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(engine.close)
        await plots.close()

    @asynccontextmanager
    async def forgetting_clients(app: Litestar) -> AsyncIterator[None]:
        async def forget() -> None:
            while True:
                await asyncio.sleep(60)
                await app.stores.get(STORE).delete_expired()  # type: ignore[attr-defined]

        task = asyncio.create_task(forget())
        yield
        task.cancel()

    def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        """A page (or JSON, for a program) for every error that no route has answered itself."""
        status, path = status_of(error), request.scope["path"]  # a Host may be such that `request.url` cannot be made
        if status >= 500 and status != 503:  # to be busy is no failure
            logger.error("%s %s failed", request.method, route_of(request.scope), exc_info=error)
        headers = headers_of(error)
        if f"{path}/".startswith("/v1/"):
            return refusal(error)
        if isinstance(error, HTTPException) and status in (401, 403, 429):
            message = error.detail
        elif isinstance(error, ShelfError):
            message = error.told
        else:
            nonsense = "Something went wrong here." if status >= 500 else "This request makes no sense."
            message = REFUSALS.get(status, nonsense)
        if f"{path}/".startswith(("/api/", "/healthz/", "/readyz/")):
            return Response({"message": message}, status_code=status, headers=headers)
        # Streamed because an exception handler of Litestar cannot await.
        return Stream(
            pages.stream("refusal.html", message=message),
            status_code=status,
            media_type=MediaType.HTML,
            headers=headers,
        )

    app = Litestar(
        route_handlers=[
            blank_desk,
            back_to_desk,
            at_desk,
            open_plot,
            *shelf_pages,
            *picture_pages,
            docs,
            plots_api,
            completions_api,
            health,
            readiness,
            metrics,
            static_files,
            status,
        ],
        dependencies={
            "access": Provide(lambda: access, use_cache=True, sync_to_thread=False),
            "desk": Provide(_desk, sync_to_thread=False),
            "history": Provide(lambda: observability.history, use_cache=True, sync_to_thread=False),
            "engine": Provide(lambda: engine, use_cache=True, sync_to_thread=False),
            "pages": Provide(lambda: pages, use_cache=True, sync_to_thread=False),
            "pictures": Provide(lambda: pictures, use_cache=True, sync_to_thread=False),
            "plots": Provide(lambda: plots, use_cache=True, sync_to_thread=False),
            "reference": Provide(lambda: reference, use_cache=True, sync_to_thread=False),
            "metrics_registry": Provide(lambda: observability.registry, use_cache=True, sync_to_thread=False),
            "settings": Provide(lambda: settings, use_cache=True, sync_to_thread=False),
        },
        exception_handlers={HTTPException: refuse, Exception: refuse},
        before_request=refuse_over_limit,
        before_send=[security_headers(settings.hsts)],
        lifespan=[
            observability.watching,
            opened_desk,
            closing_engine,
            *([forgetting_clients] if settings.rate else []),
        ],
        middleware=[per_minute(settings.rate, access).middleware] if settings.rate else [],
        logging_config=None,
        openapi_config=reference.config(),
        request_class=TimedRequest,
        request_max_body_size=MAX_BODY,
        state=State({"access": access, "patience": settings.patience}),
    )
    app.asgi_handler = observability.around(answer_head(app.asgi_handler), access)
    return app


def _desk(state: State) -> Desk:
    """The one that was opened when the app started."""
    desk: Desk = state.desk
    return desk
