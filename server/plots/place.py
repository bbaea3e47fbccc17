"""Places in a plot's text, and the ids of events, which name them."""

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from server.errors import PlotifyError

DIGEST_BYTES = 5
"""Bytes of a digest. A text that differs is noticed but for one case in 10¹²."""

EVENT_ID = f"^([0-9]{{0,9}}|[0-9]{{1,9}}-[0-9a-f]{{{2 * DIGEST_BYTES}}}(-end)?)$"
"""The pattern of an event's id, which may be empty. Earlier versions numbered the events."""

END = "-end"
"""The end of the id of a plot's last event."""


class UnknownEvent(PlotifyError):
    """The Last-Event-ID is not an event of the plot."""

    status = 400

    @classmethod
    def of(cls, id: str) -> "UnknownEvent":
        """Name the id."""
        return cls(
            f"Last-Event-ID is {id[:40]!r}; it must be the id of an event of this plot. Leave it out to get all events."
        )


class TextDiffers(PlotifyError):
    """Generated again, a text is not the one that was begun."""

    status = 409

    def __init__(self) -> None:
        super().__init__(
            "The plot cannot go on: generated again, its text differs from the one that was begun. "
            "The server has another model or another kind of processor now. Start the plot again."
        )


class Digest:
    """A running digest of a text."""

    def __init__(self, text: str = "") -> None:
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self.add(text)

    def add(self, text: str) -> None:
        """Add the next piece of the text."""
        self._hash.update(text.encode("utf-8", "surrogatepass"))

    @property
    def value(self) -> str:
        """The digest of the text so far, in hexadecimal digits."""
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a plot's text. tokens: generated up to it. digest: of all text up to it."""

    tokens: int
    digest: str

    @property
    def id(self) -> str:
        """The id of the event that ends here."""
        return f"{self.tokens}-{self.digest}"


START = Place(0, Digest().value)


@dataclass(frozen=True)
class LastEvent:
    """The last event that a client has. number: of events, in an old id. place: None in an old id.

    ended: it was the last one of the plot.
    """

    number: int = 0
    place: Place | None = None
    ended: bool = False

    @classmethod
    def read(cls, id: str) -> Self:
        """Parse an id; an empty one is before the first event. Raises UnknownEvent."""
        if not re.fullmatch(EVENT_ID, id):
            raise UnknownEvent.of(id)
        tokens, _, digest = id.removesuffix(END).partition("-")
        if not digest:
            return cls(int(tokens or 0))
        return cls(0, Place(int(tokens), digest), id.endswith(END))


FIRST = LastEvent()
"""The client has no event yet."""


def characters_to(place: Place, before: str, text: str) -> int:
    """Return how many characters of `text` are up to a place in it. before: all text before `text`.

    Raises TextDiffers if the place is at none of them.
    """
    digest = Digest(before)
    for count, character in enumerate(text):
        if digest.value == place.digest:
            return count
        digest.add(character)
    if digest.value == place.digest:
        return len(text)
    raise TextDiffers
