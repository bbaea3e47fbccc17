"""Whether the server is well."""

from litestar import get
from litestar.di import NamedDependency

from server.engine import Engine


@get("/healthz")
async def health(engine: NamedDependency[Engine]) -> dict[str, str | int]:
    """The model that is served, and how many requests it has; tokens that were written since it began."""
    return {
        "status": "ok",
        "model": engine.bundle.manifest.name,
        "running": engine.running,
        "waiting": engine.waiting,
        "written": engine.written,
    }
