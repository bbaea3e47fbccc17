"""The Litestar app around an engine."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import Scope

from server.completions.routes import completions_api
from server.desk import Desk, Offers, Writers
from server.engine import AnyEngine
from server.http.access import Access
from server.http.connection_limit import refuse_over_limit
from server.http.errors import nearest, status_of
from server.http.head import answer_head
from server.http.headers import security_headers
from server.http.keys import Keys
from server.http.rate_limit import STORE, counter, per_minute
from server.http.request import TimedRequest
from server.observability.middleware import route_of
from server.observability.observability import Observability
from server.observability.routes import health_api
from server.pages import pages_router
from server.pictures import Pictures
from server.plots.plots import Plots
from server.plots.routes import plots_api
from server.reference.document import Reference
from server.rendering import Pages
from server.settings import Settings
from server.shelf import Shelf

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
"""Bytes of a request's body, at most: many times the context of any model."""

ROUTERS = (pages_router, completions_api, plots_api, health_api)


def create_app(engine: AnyEngine, settings: Settings) -> Litestar:
    """Return the app. It closes the engine when it shuts down.

    Raises KeysError for bad keys, SettingsError for traces without their packages and for a bad picture service.
    """
    keys = Keys(settings.keys, Path(settings.keys_file) if settings.keys_file else None)
    access = Access(keys, settings.desk == "open")
    observability = Observability(engine, settings)
    reference = Reference(engine)
    pages = Pages(engine.bundle.manifest)
    pictures = Pictures(settings)
    plots = Plots(settings.plot_grace, settings.plot_ttl, settings.plot_limit)
    shared = {
        "access": access,
        "engine": engine,
        "history": observability.history,
        "metrics_registry": observability.registry,
        "pages": pages,
        "pictures": pictures,
        "plots": plots,
        "reference": reference,
        "settings": settings,
    }

    @asynccontextmanager
    async def serving(app: Litestar) -> AsyncIterator[None]:
        async with Shelf.open(settings.database) as shelf:
            app.state.desk = desk = Desk(engine, shelf, Writers(await shelf.secret()), Offers(), settings.max_tokens)
            yield
            await asyncio.to_thread(engine.close)  # ends all plots and offers
            await plots.close()
            await desk.offers.close()
            await pictures.close()

    rate = counter(settings.rate, access) if settings.rate else None
    app = Litestar(
        route_handlers=ROUTERS,
        dependencies={name: _provide(value) for name, value in shared.items()}
        | {"desk": Provide(_desk, sync_to_thread=False)},
        exception_handlers={Exception: nearest(ROUTERS)},
        after_exception=[log_failure],
        before_request=refuse_over_limit,
        before_send=[security_headers(settings.hsts)],
        lifespan=[observability.watching, serving, *([forgetting_clients] if settings.rate else [])],
        middleware=[per_minute(settings.rate, access).middleware] if settings.rate else [],
        logging_config=None,
        openapi_config=reference.config(),
        request_class=TimedRequest,
        request_max_body_size=MAX_BODY,
        state=State({"access": access, "pages": pages, "patience": settings.patience, STORE: rate}),
    )
    app.asgi_handler = observability.around(answer_head(app.asgi_handler), access)
    return app


async def log_failure(error: Exception, scope: Scope) -> None:
    """Log an error of the server's own. A busy server (503) is no failure."""
    if status_of(error) >= 500 and status_of(error) != 503:
        logger.error("%s %s failed", scope.get("method"), route_of(scope), exc_info=error)


@asynccontextmanager
async def forgetting_clients(app: Litestar) -> AsyncIterator[None]:
    """Delete the expired counts of requests each minute, while the app runs."""

    async def forget() -> None:
        while True:
            await asyncio.sleep(60)
            await app.stores.get(STORE).delete_expired()  # type: ignore[attr-defined]

    task = asyncio.create_task(forget())
    yield
    task.cancel()


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, use_cache=True, sync_to_thread=False)


def _desk(state: State) -> Desk:
    """Return the desk. It exists once the app has started."""
    desk: Desk = state.desk
    return desk
