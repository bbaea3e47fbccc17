"""The page /docs, which describes the API to people, and the OpenAPI document for tools."""

from typing import Any

from litestar import MediaType, Request, get
from litestar.di import NamedDependency

from server.http.access import for_all
from server.reference import page
from server.reference.document import Reference, operations
from server.rendering import Pages


@get("/docs", guards=[for_all], media_type=MediaType.HTML)
async def docs(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], reference: NamedDependency[Reference]
) -> str:
    """The OpenAPI document in words, operation by operation."""
    origin = str(request.base_url).rstrip("/") + request.app.state.root_path
    document = reference.document(request.app)
    return await pages.render(
        "docs.html",
        info=document["info"],
        operations=operations(document),
        schemas=document["components"]["schemas"],
        page=page,
        origin=origin,
        model=reference.model,
        sampling=reference.sampling,
    )


@get("/openapi.json", guards=[for_all])
async def openapi_json(request: Request[Any, Any, Any], reference: NamedDependency[Reference]) -> dict[str, Any]:
    """The OpenAPI document, where many tools look for it."""
    return reference.document(request.app)
