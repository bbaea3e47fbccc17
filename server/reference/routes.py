"""The page /docs, which describes the API to people."""

from typing import Any

from litestar import MediaType, Request, get
from litestar.di import NamedDependency
from litestar.exceptions import ClientException

from server.http.access import for_all
from server.reference import page
from server.reference.document import Reference, operations
from server.rendering import Pages


@get("/docs", guards=[for_all], media_type=MediaType.HTML)
async def docs(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], reference: NamedDependency[Reference]
) -> str:
    """The OpenAPI document in words, operation by operation."""
    try:
        origin = str(request.base_url).rstrip("/")
    except ValueError as error:
        raise ClientException(f"The Host header is not a host and port: {error}.") from error
    document = reference.document(request.app)
    return await pages.render(
        "docs.html",
        info=document["info"],
        operations=operations(document),
        schemas=document["components"]["schemas"],
        page=page,
        origin=origin,
        model=reference.model,
    )
