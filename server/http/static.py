"""The static files of the pages: styles, scripts, a font, the icon."""

import hashlib
from pathlib import Path

from litestar import get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File

from server.http.access import for_all

STATIC = Path(__file__).resolve().parents[2] / "templates" / "static"
NAMES = frozenset(file.name for file in STATIC.iterdir())

VERSION = hashlib.sha256(b"".join((STATIC / name).read_bytes() for name in sorted(NAMES))).hexdigest()[:12]
"""A part of every address: it changes with any of the files, because they name each other."""

KEPT = "public, max-age=31536000, immutable"
"""The Cache-Control of a file at an address of this version."""


def static_address(name: str) -> str:
    """Return the address of a static file. It changes with the files, so caches can keep it."""
    if name not in NAMES:
        raise FileNotFoundError(f"There is no {name} in {STATIC}.")
    return f"/static/{VERSION}/{name}"


@get(["/static/{name:str}", "/static/{version:str}/{name:str}"], guards=[for_all])
async def static_file(name: FromPath[str], version: FromPath[str] = "") -> File:
    """A file by its name. No other name reaches the file system, where some fail: too long, with a NUL.

    A page of another version gets the present file, and asks again the next time.
    """
    if name not in NAMES:
        raise NotFoundException
    kept = KEPT if version == VERSION else "no-cache"
    # Not every system knows the type of a font.
    kind = "font/woff2" if name.endswith(".woff2") else None
    return File(
        STATIC / name,
        filename=name,
        media_type=kind,
        content_disposition_type="inline",
        headers={"Cache-Control": kept},
    )
