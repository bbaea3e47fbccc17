"""The static files of the pages: styles, scripts, the icon."""

import hashlib
from pathlib import Path

from litestar import get
from litestar.datastructures import CacheControlHeader
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File

from server.http.access import for_all

STATIC = Path(__file__).resolve().parents[2] / "templates" / "static"
NAMES = frozenset(file.name for file in STATIC.iterdir())


def static_address(name: str) -> str:
    """Return the address of a static file. It changes with the content, so caches can keep the file."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


@get(
    "/static/{file_path:str}",
    guards=[for_all],
    cache_control=CacheControlHeader(max_age=365 * 24 * 3600, public=True, immutable=True),
)
async def static_file(file_path: FromPath[str]) -> File:
    """A file by its name. No other name reaches the file system, where some fail: too long, with a NUL."""
    if file_path not in NAMES:
        raise NotFoundException
    return File(STATIC / file_path, filename=file_path, content_disposition_type="inline")
