"""Whether the server is well."""

from litestar import get

from server.engine import Engine


@get("/healthz")
async def health(engine: Engine) -> dict[str, str | int]:
    """The model that is served, and how many requests it has."""
    return {
        "status": "ok",
        "model": engine.bundle.manifest.name,
        "running": engine.running,
        "waiting": engine.waiting,
    }
