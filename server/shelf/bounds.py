"""How much a shelf keeps, and what it takes."""

from server.shelf.errors import NotKept

TEXT = 100_000
"""Characters of a plot's text."""

TITLE = 200
"""Characters of a title, a genre or a search."""

PLOTS = 1_000
"""Plots on a shelf."""

PASSAGES = 5_000
"""Passages of a plot, those that were tried and left included."""

PICTURE = 16 * 1024 * 1024
"""Bytes of a picture."""

PICTURES = ("image/png", "image/jpeg", "image/webp")
"""Media types of pictures: those that can carry no script."""


def text(field: str, value: str, most: int = TEXT) -> str:
    """A text as it is kept: its lines end with a line feed, though forms send two characters. Raises NotKept."""
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if len(value) > most:
        raise NotKept(field, f"The {field} has {len(value):,} characters; a shelf takes {most:,}. Shorten it.")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise NotKept(field, f"The {field} has a character in it that is none (NUL, or half of a pair); take it out.")
    return value


def line(field: str, value: str) -> str:
    """A title, a genre or a search, on one line. Raises NotKept."""
    return text(field, " ".join(value.split()), TITLE)


def picture(media_type: str, content: bytes) -> None:
    """Raises NotKept for a picture that a shelf does not take."""
    if media_type not in PICTURES:
        raise NotKept("media_type", f"A picture of type {media_type:.40} is not kept; make it {', '.join(PICTURES)}.")
    if not 0 < len(content) <= PICTURE:
        raise NotKept("content", f"The picture has {len(content):,} bytes; it must have from 1 to {PICTURE:,}.")
