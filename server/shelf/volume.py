"""Values from a shelf, without ties to the database."""

import hashlib
import re
from datetime import datetime

from msgspec import Struct

from server.shelf.authorship import By, Run, joined

UNTITLED = "Untitled"

MARKS = " .,;:!?…"
"""Characters that don't stand before the ellipsis of a title, or behind that of the words after it."""

HEADING = 60
"""Characters of a title from the first words of a text."""

OPENING = 300
"""Characters of the text in a list."""


class Passage(Struct, frozen=True):
    """A piece of a plot. number: in the plot, 0 for the blank page. parent: the passage before it.

    by: the author of its change to the text. runs: the authors of its characters, if there are several; else None.
    """

    number: int
    parent: int | None
    text: str
    by: By
    created: datetime
    runs: list[Run] | None = None

    @property
    def authors(self) -> list[Run]:
        """The authors of its characters. Of a text with only its beginning here, they are of all of it."""
        return self.runs or [(len(self.text), self.by)]


class Picture(Struct, frozen=True):
    """The picture of a plot, and its prompt."""

    media_type: str
    content: bytes
    prompt: str
    created: datetime


class Entry(Struct, frozen=True):
    """A plot in a list.

    opening: the beginning of its text. token: for its link, if it is shared. cover: the number of its drawn cover,
    another one after each change of its picture.
    """

    id: str
    title: str
    genre: str
    opening: str
    token: str | None
    cover: int
    created: datetime
    changed: datetime

    @property
    def picture(self) -> str:
        """Twelve letters that change with the picture or cover, so browsers can keep it."""
        return hashlib.sha256(f"{self.title}\n{self.genre}\n{self.cover}".encode()).hexdigest()[:12]

    @property
    def rest(self) -> str:
        """The opening on one line. If the title is its first words, it goes on from them, behind an ellipsis."""
        words = " ".join(self.opening.split())
        if self.title != heading("", self.opening):
            return words
        rest = "" if words == self.title else words[len(self.title) - 1 :].lstrip(MARKS)
        return f"…{rest}" if rest else ""


class Written(Struct, frozen=True, kw_only=True):
    """A plot for its readers. cover: see `Entry`."""

    title: str
    genre: str
    text: str
    cover: int = 0
    created: datetime
    changed: datetime

    def plain(self) -> str:
        """Return the plot as plain text."""
        return f"{self.title}\n\n{self.text.strip()}\n"

    def markdown(self) -> str:
        """Return the plot as Markdown, with everything in it escaped."""
        genre = f"*{_escaped(self.genre)}*\n\n" if self.genre else ""
        lines = [_escaped(line.strip()) for line in self.text.strip().splitlines()]
        text = re.sub(r"(?<=[^\n])\n(?=[^\n])", "\\\\\n", "\n".join(lines))
        return f"# {_escaped(self.title)}\n\n{genre}{text}\n"


class Volume(Written, frozen=True, kw_only=True):
    """A plot for its writer.

    current: the number of its last passage. path: from its first passage to the current one; empty for a blank page.
    children: the passages after the current one, with only the beginning of their text. undo, redo: the passages to go
    to, if any. replaced: the last passage of the text that another page had saved, if this save took its place.
    steering: see `PlotRow`.
    """

    id: str
    steering: dict[str, str]
    token: str | None
    current: int
    path: list[Passage]
    children: list[Passage]
    undo: int | None
    redo: int | None
    replaced: int | None = None

    @property
    def authors(self) -> list[Run]:
        """The authors of the text's characters."""
        return joined(run for passage in self.path for run in passage.authors)


def heading(title: str, text: str) -> str:
    """Return the title of a plot: the given one, or else the first words of the text."""
    words = " ".join(text[:OPENING].split())
    if title or len(words) <= HEADING:
        return title or words or UNTITLED
    # Some scripts have no spaces between words.
    return (words[: HEADING + 1].rpartition(" ")[0] or words[:HEADING]).rstrip(MARKS) + "…"


def _escaped(line: str) -> str:
    line = re.sub(r"([\\`*_\[\]<>&~|!#])", r"\\\1", line)
    line = re.sub(r"^([+=-])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", line)
