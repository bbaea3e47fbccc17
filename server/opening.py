"""From settings to an engine."""

from server.bundle import Bundle
from server.engine import Engine
from server.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """The engine on the settings' bundle. Raises BundleError and EngineError."""
    return Engine(
        Bundle.load(settings.model),
        precision=None if settings.precision == "auto" else settings.precision,
        device=settings.device,
        threads=settings.threads,
        queue=settings.queue,
        rows=settings.rows,
        kept=settings.kept,
        deadline=settings.deadline,
        per_client=settings.per_client,
    )
