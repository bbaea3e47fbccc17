"""The files of the pages: styles, the script, the icon."""

import hashlib
from pathlib import Path
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.static_files import create_static_files_router

from server.http.access import for_all

STATIC = Path(__file__).resolve().parents[2] / "templates" / "static"
PATH = "/static"
NAMES = frozenset(file.name for file in STATIC.iterdir())


def static_address(name: str) -> str:
    """The address of a static file, which changes with its content so that it can be cached for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


def for_what_is_there(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """No other name gets as far as the file system, which fails at some: too long, below a file, with a NUL."""
    if connection.scope["path"].removeprefix(f"{PATH}/") not in NAMES:
        raise NotFoundException


static_files = create_static_files_router(
    path=PATH,
    guards=[for_all, for_what_is_there],
    directories=[STATIC],
    cache_control=CacheControlHeader(max_age=365 * 24 * 3600, public=True, immutable=True),
)
