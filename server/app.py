"""The Litestar app around an engine."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, Request
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
from server.http.rate_limit import WORK, RateLimit, count_text
from server.http.request import TimedRequest
from server.http.root_path import below, rooted
from server.http.sites import Sites, cors
from server.observability.metrics import DatabaseCollector
from server.observability.middleware import route_of
from server.observability.observability import Observability
from server.observability.routes import health_api
from server.pages import pages_router
from server.pictures import Pictures
from server.plots.generation import Generation
from server.plots.plots import Plots
from server.plots.records import Records
from server.plots.routes import plots_api
from server.reference.document import Reference
from server.rendering import Pages
from server.settings import Settings, listed
from server.shelf import DatabaseHealth, Shelf

logger = logging.getLogger(__name__)

MAX_BODY = 256 * 1024
"""Bytes of a request's body, at most: many times the context of any model."""

ROUTERS = (pages_router, completions_api, plots_api, health_api)


def create_app(engine: AnyEngine, settings: Settings, name: str = "") -> Litestar:
    """Return the app. It closes the engine when it shuts down.

    name: of this app in metrics, if there may be several. Raises KeysError for bad keys, SettingsError for traces
    without their packages and for a bad picture service.
    """
    keys = Keys(settings.keys, Path(settings.keys_file) if settings.keys_file else None)
    access = Access(keys, settings.desk == "open")
    observability = Observability(engine, settings, name)
    reference = Reference(engine)
    pages = Pages(engine.bundle.manifest, settings.root_path)
    cors_config = cors(listed(settings.origins))
    sites = Sites(listed(settings.hosts), keys.configured, cors_config)
    pictures = Pictures(settings)
    shared = {
        "engine": engine,
        "history": observability.history,
        "metrics_registry": observability.registry,
        "pages": pages,
        "pictures": pictures,
        "reference": reference,
        "settings": settings,
    }

    async def admit(request: Request[Any, Any, Any]) -> None:
        """Refuse a request before its body is read."""
        refuse_over_limit(request)
        sites.check(request)
        if request.route_handler.opt.get(WORK):
            count_text(request)

    @asynccontextmanager
    async def serving(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as closing:
            shelf = await closing.enter_async_context(Shelf.open(settings.database))
            records = None
            if settings.plot_record:
                keeping = Records.open(shelf, settings.plot_record, settings.plot_ttl)
                records = await closing.enter_async_context(keeping)
            app.state.plots = plots = Plots(
                Generation(engine, records), settings.plot_grace, settings.plot_ttl, settings.plot_limit
            )
            app.state.desk = desk = Desk(engine, shelf, Writers(await shelf.secret()), Offers(), settings.max_tokens)
            observability.registry.register(database := DatabaseCollector(shelf.health))
            yield
            observability.registry.unregister(database)
            await asyncio.to_thread(engine.close)  # ends all plots and offers
            await plots.close()
            await desk.offers.close()
            await pictures.close()

    app = Litestar(
        route_handlers=ROUTERS,
        dependencies={name: _provide(value) for name, value in shared.items()}
        | {
            "desk": Provide(_desk, sync_to_thread=False),
            "plots": Provide(_plots, sync_to_thread=False),
            "database_health": Provide(_database_health, sync_to_thread=False),
        },
        exception_handlers={Exception: nearest(ROUTERS)},
        after_exception=[log_failure],
        before_request=admit,
        cors_config=cors_config,
        lifespan=[observability.watching, serving],
        logging_config=None,
        openapi_config=reference.config(settings.root_path),
        request_class=TimedRequest,
        request_max_body_size=MAX_BODY,
        state=State(
            {
                "access": access,
                "pages": pages,
                "patience": settings.patience,
                "rate_limit": RateLimit(settings.rate),
                "root_path": settings.root_path,
            }
        ),
    )
    edits = (rooted(settings.root_path), security_headers(settings.hsts))
    observed = observability.around(answer_head(app.asgi_handler), access, edits)
    app.asgi_handler = below(settings.root_path, observed)
    return app


async def log_failure(error: Exception, scope: Scope) -> None:
    """Log an error of the server's own. A busy server (503) is no failure."""
    if status_of(error) >= 500 and status_of(error) != 503:
        logger.error("%s %s failed", scope.get("method"), route_of(scope), exc_info=error)


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, use_cache=True, sync_to_thread=False)


def _desk(state: State) -> Desk:
    """Return the desk. It exists once the app has started."""
    desk: Desk = state.desk
    return desk


def _plots(state: State) -> Plots:
    """Return the plots. They exist once the app has started."""
    plots: Plots = state.plots
    return plots


def _database_health(state: State) -> DatabaseHealth:
    """Return the health of the shelf's database. It exists once the app has started."""
    return _desk(state).shelf.health
