"""The pages for people.

To add one, write its template and its route, and list the route in `pages_router`.
"""

from litestar import MediaType, Router, get
from litestar.di import NamedDependency

from server.desk import Desk
from server.desk.routes import desk_pages
from server.http.access import for_desk
from server.http.errors import page_error
from server.http.static import static_file
from server.observability.routes import metrics, status
from server.pictures import Pictures
from server.reference.routes import docs, openapi_json
from server.rendering import Pages, card


@get("/about", guards=[for_desk], media_type=MediaType.HTML)
async def about(pages: NamedDependency[Pages], desk: NamedDependency[Desk], pictures: NamedDependency[Pictures]) -> str:
    """About Plotify, for writers; the card of its model is folded away."""
    bundle, precision = desk.engine.bundle, desk.engine.precision
    return await pages.render(
        "about.html", bundle=bundle.manifest, precision=precision, card=card(bundle), service=pictures.real
    )


pages_router = Router(
    "/",
    route_handlers=[desk_pages, about, docs, metrics, openapi_json, status, static_file],
    exception_handlers={Exception: page_error},
    include_in_schema=False,
)
