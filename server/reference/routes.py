"""The page that describes the addresses to people."""

from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import ClientException

from server.http.access import for_all
from server.pages import Pages
from server.reference.document import Reference
from server.reference.page import sections, things


@get("/docs", guards=[for_all])
async def docs(
    request: Request[Any, Any, Any], pages: NamedDependency[Pages], reference: NamedDependency[Reference]
) -> Response[str]:
    """What there is, operation by operation, as the OpenAPI document says it."""
    try:
        origin = str(request.base_url).rstrip("/")
    except ValueError as error:
        raise ClientException(f"The Host header is no host and port: {error}.") from error
    document = reference.document(request.app)
    page = await pages.render(
        "docs.html",
        info=document["info"],
        sections=sections(document, origin),
        things=things(document),
        origin=origin,
        model=reference.model,
    )
    return Response(page, media_type=MediaType.HTML)
