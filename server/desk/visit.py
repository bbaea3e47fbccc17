"""A writer's visit: a cookie names their shelf; a token proves that a form is from their own pages."""

import re
from dataclasses import dataclass
from typing import Any, Self

from litestar import MediaType, Request, Response
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import PermissionDeniedException
from litestar.response import Stream

from server.desk import Desk
from server.desk.writers import COOKIE_SECONDS
from server.http.sse import STREAM_HEADERS
from server.rendering import Pages
from server.shelf import Volume
from server.writing.fields import form_fields

FORM_TOKEN = "token"


@dataclass(frozen=True)
class Visit:
    """A request of a writer. owner: the id of their shelf, a new one for a writer without a cookie."""

    request: Request[Any, Any, Any]
    desk: Desk
    pages: Pages
    owner: str

    @classmethod
    def of(cls, request: Request[Any, Any, Any], desk: NamedDependency[Desk], pages: NamedDependency[Pages]) -> Self:
        """Read the cookie of a request."""
        owner = desk.writers.find(request.cookies) or desk.writers.new()
        return cls(request, desk, pages, owner)

    async def form(self, **defaults: str) -> dict[str, str]:
        """Return the fields of the posted form, on top of the defaults."""
        return defaults | {FORM_TOKEN: ""} | await form_fields(self.request)

    def check(self, form: dict[str, str]) -> None:
        """Raise PermissionDeniedException unless the form is from this writer's own pages."""
        if not self.desk.writers.knows(self.owner, form[FORM_TOKEN]):
            raise PermissionDeniedException(
                "This form is too old, or your browser does not keep this site's cookie, which finds your shelf. "
                "Go back, reload the page, and try again."
            )

    async def read(self, plot_id: str) -> Volume:
        """Return a plot of the writer's shelf. Raises NotOnShelf."""
        return await self.desk.shelf.read(self.owner, plot_id)

    async def page(self, name: str, **context: object) -> Response[str]:
        """Render a page, and renew the cookie."""
        text = await self.pages.render(name, **self._context(context))
        cookie = Cookie(
            self.desk.writers.cookie_name,
            value=self.desk.writers.cookie(self.owner),
            max_age=COOKIE_SECONDS,
            path=self.root_path or "/",
            httponly=True,
            samesite="lax",  # a link from another site finds the shelf; forms have a token besides
            secure=self.request.scope["scheme"] == "https",
        )
        return Response(text, media_type=MediaType.HTML, cookies=[cookie])

    def stream(self, name: str, after: BackgroundTask | None = None, **context: object) -> Stream:
        """Stream a page as its asynchronous values come. Litestar runs `after` even if the client leaves."""
        pieces = self.pages.stream(name, **self._context(context))
        return Stream(pieces, media_type=MediaType.HTML, headers=STREAM_HEADERS, background=after)

    def share_link(self, token: str | None) -> str | None:
        """Return the address at which anyone can read a plot, if it is shared."""
        return token and absolute(self.request, f"/shared/{token}")

    @property
    def root_path(self) -> str:
        """The path below which the pages are served."""
        found: str = self.request.app.state.root_path
        return found

    def _context(self, context: dict[str, object]) -> dict[str, object]:
        mac = re.search("Mac|iPhone|iPad", self.request.headers.get("user-agent", "")) is not None
        return {"token": self.desk.writers.token(self.owner), "page": self.desk.writers.new(), "mac": mac} | context


def absolute(request: Request[Any, Any, Any], path: str) -> str:
    """Return the whole address of a path, as the client knows this server."""
    return f"{str(request.base_url).rstrip('/')}{request.app.state.root_path}{path}"


Visiting = NamedDependency[Visit]
"""The visit, as a parameter of routes."""
