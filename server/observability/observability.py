"""Metrics, history and traces of an engine and its app."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from litestar import Litestar
from litestar.types import ASGIApp

from server.engine import AnyEngine
from server.extras import missing
from server.http.access import Access
from server.http.headers import HeadEdit
from server.observability.history import History
from server.observability.metrics import EngineCollector, HttpCollector, new_registry
from server.observability.middleware import RequestMiddleware
from server.observability.recorder import Recorder
from server.settings import Settings, SettingsError, variable

if TYPE_CHECKING:
    from server.observability.traces import Tracer


class Observability:
    """Observes an engine. registry: the metrics. history: the last minutes.

    app: the name of this app, if there are several. Raises SettingsError if the packages for traces are missing.
    """

    def __init__(self, engine: AnyEngine, settings: Settings, app: str = "") -> None:
        recorder = Recorder()
        engine.observers.add(recorder)
        self._edge = HttpCollector()
        self.registry = new_registry(EngineCollector(engine, recorder), self._edge, app=app)
        self.history = History(engine, recorder)
        self._tracer = _tracer(settings.traces, engine.bundle.manifest.name)
        if self._tracer is not None:
            engine.observers.add(self._tracer)

    def around(self, app: ASGIApp, access: Access, edits: Sequence[HeadEdit]) -> ASGIApp:
        """Return the app, wrapped in the middleware. edits: change the heads of its responses."""
        return RequestMiddleware(app, access, self._edge, self._tracer, edits)

    @asynccontextmanager
    async def watching(self, _: Litestar) -> AsyncIterator[None]:
        """Sample the engine each second, and send the remaining traces at the end."""

        async def look() -> None:
            while True:
                await asyncio.sleep(1)
                self.history.look()

        task = asyncio.create_task(look())
        yield
        task.cancel()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)


def _tracer(endpoint: str, model: str) -> "Tracer | None":
    if not endpoint:
        return None
    try:
        from server.observability.traces import Tracer
    except ImportError as error:
        raise SettingsError(f"{variable('traces')} is set, but {missing(error.name, 'otel')}") from error
    return Tracer(endpoint, model)
