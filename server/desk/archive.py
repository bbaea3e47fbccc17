"""All plots of a shelf, as one zip file."""

import asyncio
import re
import unicodedata
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

from server.shelf import NotOnShelf, Picture, Shelf, Written
from server.shelf.volume import UNTITLED

LONGEST = 120
"""Bytes of a file's name, without its ending."""

FORBIDDEN = set('<>:"/\\|?*')
"""Characters that Windows, macOS or Linux do not have in the names of files."""

DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM\d|LPT\d)(?:\..*)?", re.IGNORECASE)
"""Names that Windows reads as devices."""

ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


def file_name(title: str) -> str:
    """Return a title as the name of a file on any system, without an ending."""
    letters = (
        letter if letter.isprintable() and letter not in FORBIDDEN else " "
        for letter in unicodedata.normalize("NFC", title)
    )
    name = " ".join("".join(letters).split()).strip(". ")
    name = name.encode()[:LONGEST].decode(errors="ignore").rstrip(". ")
    return f"_{name}" if DEVICE.fullmatch(name) else name or UNTITLED


async def archive(shelf: Shelf, owner: str) -> AsyncIterator[bytes]:
    """Yield a zip file of a writer's plots, in pieces.

    It has each plot as Markdown, and its picture if it has one. Only one plot is in memory at a time. A plot that is
    deleted meanwhile is left out.
    """
    ids = await shelf.ids(owner)
    file = _Archive()
    for id in ids:
        with suppress(NotOnShelf):
            plot, picture = await shelf.written(owner, id)
            yield await asyncio.to_thread(file.add, plot, picture)
    yield file.end()


class _Archive:
    """A zip file that is being written. It is its own target, which cannot be read or sought."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._names: set[str] = set()
        self._zip = zipfile.ZipFile(self, "w", zipfile.ZIP_DEFLATED)

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: the pieces are taken after each plot."""

    close = flush

    def add(self, plot: Written, picture: Picture | None) -> bytes:
        """Return the next part of the file, with a plot in it."""
        name = self._unused(file_name(plot.title))
        self._put(f"{name}.md", plot.changed, plot.markdown().encode(), zipfile.ZIP_DEFLATED)
        if picture:
            ending = ENDINGS[picture.media_type]
            self._put(f"{name}.{ending}", picture.created, picture.content, zipfile.ZIP_STORED)
        return self._taken()

    def end(self) -> bytes:
        """Return the last part of the file."""
        self._zip.close()
        return self._taken()

    def _put(self, name: str, changed: datetime, content: bytes, kind: int) -> None:
        entry = zipfile.ZipInfo(name, changed.timetuple()[:6])
        entry.compress_type = kind
        entry.external_attr = 0o644 << 16
        self._zip.writestr(entry, content)

    def _unused(self, name: str) -> str:
        """Return a name that no other file has, in either case."""
        number, tried = 1, name
        while tried.casefold() in self._names:
            number += 1
            tried = f"{name} ({number})"
        self._names.add(tried.casefold())
        return tried

    def _taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
