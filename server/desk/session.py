"""Who opens a page: a cookie says whose shelf it is, and a token in each form that it is of that writer's pages."""

from typing import Any

from litestar import MediaType, Request, Response
from litestar.datastructures import Cookie
from litestar.exceptions import PermissionDeniedException

from server.desk import Desk, Writers
from server.desk.writers import COOKIE, COOKIE_SECONDS

FORM_TOKEN = "token"


def visitor(request: Request[Any, Any, Any], desk: Desk) -> str:
    """The id of the visitor's shelf; a new one where they have none."""
    return desk.writers.read(request.cookies.get(COOKIE, "")) or desk.writers.new()


def sender(request: Request[Any, Any, Any], desk: Desk, token: str) -> str:
    """The id of the shelf of who sent a form. Raises PermissionDeniedException for a form of somebody else's pages."""
    owner = desk.writers.read(request.cookies.get(COOKIE, ""))
    if owner is None or not desk.writers.knows(owner, token):
        raise PermissionDeniedException(
            "This form is too old, or your browser keeps no cookies from here, by which your shelf is found. "
            "Go back, reload the page, and try again."
        )
    return owner


def shelf_cookie(request: Request[Any, Any, Any], writers: Writers, owner: str) -> Cookie:
    """Says whose shelf it is. Lax, so that a link from elsewhere finds it; forms have a token besides."""
    return Cookie(
        COOKIE,
        value=writers.cookie(owner),
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.scope["scheme"] == "https",  # a Host may be such that `request.url` cannot be made
    )


def page(text: str, *cookies: Cookie, status: int = 200) -> Response[str]:
    """A page of one writer's own, kept by no cache."""
    return Response(
        text,
        media_type=MediaType.HTML,
        status_code=status,
        cookies=list(cookies),
        headers={"Cache-Control": "no-store"},
    )
