"""The metrics, for those who may see them."""

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from server.http.access import for_operators


@get("/metrics", guards=[for_operators], include_in_schema=False)
async def metrics(metrics_registry: NamedDependency[CollectorRegistry]) -> Response[bytes]:
    """All of them, as Prometheus reads them."""
    headers = {"Cache-Control": "no-store"}
    return Response(generate_latest(metrics_registry), media_type=CONTENT_TYPE_LATEST, headers=headers)
