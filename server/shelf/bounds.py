"""The limits of a shelf."""

from collections.abc import Mapping

from server.shelf.errors import NotKept

TEXT = 100_000
"""Characters of a plot's text."""

TITLE = 200
"""Characters of a title, a genre or a search."""

STEERING = 4_000
"""Characters of a field of the desk besides the text, such as the notes."""

PLOTS = 1_000
"""Plots on a shelf."""

PASSAGES = 5_000
"""Passages of a plot, including the rejected ones."""

PICTURE = 16 * 1024 * 1024
"""Bytes of a picture."""

PICTURES = ("image/png", "image/jpeg", "image/webp")
"""Media types of pictures; none of them can carry a script."""


def text(field: str, value: str, most: int = TEXT) -> str:
    """Return a text as it is kept, with one line feed at the end of each line. Raises NotKept."""
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if len(value) > most:
        raise NotKept(field, f"The {field} has {len(value):,} characters; the limit is {most:,}. Shorten it.")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise NotKept(field, f"The {field} has an invalid character in it (NUL, or half of a pair). Remove it.")
    return value


def line(field: str, value: str) -> str:
    """Return a title, a genre or a search as one line. Raises NotKept."""
    return text(field, " ".join(value.split()), TITLE)


def steering(given: Mapping[str, str]) -> dict[str, str]:
    """Return the fields besides the text as they are kept. Raises NotKept."""
    return {name: text(name, value, STEERING) for name, value in given.items()}


def picture(media_type: str, content: bytes) -> None:
    """Raise NotKept for a picture of the wrong type or size."""
    if media_type not in PICTURES:
        raise NotKept("media_type", f"A picture cannot be of type {media_type:.40}; it must be {', '.join(PICTURES)}.")
    if not 0 < len(content) <= PICTURE:
        raise NotKept("content", f"The picture has {len(content):,} bytes; it must have from 1 to {PICTURE:,}.")
