"""The static files of the pages: styles, scripts, a font, the icon.

They are in memory, uncompressed and compressed, and without the comments, which are for those who read the source.
"""

import gzip
import hashlib
import mimetypes
import re
from pathlib import Path
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from server.http.access import for_all

STATIC = Path(__file__).resolve().parents[2] / "templates" / "static"

COMMENT = {
    ".css": re.compile(rb"\s*/\*.*?\*/", re.DOTALL),
    ".js": re.compile(rb"^\s*//.*\n|\s+//.*$", re.MULTILINE),
}
"""A comment and the space before it, by the suffix of a file.

An address such as https://… has no space before //.
"""


def served(name: str, content: bytes) -> bytes:
    """Return what browsers get of a file."""
    comment = COMMENT.get(Path(name).suffix)
    return comment.sub(b"", content).lstrip() if comment else content


FILES = {file.name: served(file.name, file.read_bytes()) for file in sorted(STATIC.iterdir())}
COMPRESSED = {name: gzip.compress(content, mtime=0) for name, content in FILES.items() if not name.endswith(".woff2")}

VERSION = hashlib.sha256(b"".join(FILES.values())).hexdigest()[:12]
"""A part of every address: it changes with any of the files, because they name each other."""

KEPT = "public, max-age=31536000, immutable"
"""The Cache-Control of a file at an address of this version."""

mimetypes.add_type("font/woff2", ".woff2")  # not every system knows it


def static_address(name: str) -> str:
    """Return the address of a static file. It changes with the files, so caches can keep it."""
    if name not in FILES:
        raise FileNotFoundError(f"There is no {name} in {STATIC}.")
    return f"/static/{VERSION}/{name}"


@get(["/static/{name:str}", "/static/{version:str}/{name:str}"], guards=[for_all])
async def static_file(
    request: Request[Any, Any, Any], name: FromPath[str], version: FromPath[str] = ""
) -> Response[bytes]:
    """A file by its name. A page of another version gets the present file, and asks again the next time."""
    if name not in FILES:
        raise NotFoundException
    headers = {"Cache-Control": KEPT if version == VERSION else "no-cache", "Vary": "Accept-Encoding"}
    content = FILES[name]
    if name in COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
        content = COMPRESSED[name]
        headers["Content-Encoding"] = "gzip"
    kind, _ = mimetypes.guess_type(name)
    return Response(content, media_type=kind, headers=headers)
