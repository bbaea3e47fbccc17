"""What a shelf gives back: values, which no longer know the database."""

import re
from datetime import datetime
from typing import Literal

from msgspec import Struct

By = Literal["writer", "model"]
"""Whose words a passage is."""

UNTITLED = "Untitled"


class Passage(Struct, frozen=True):
    """A piece of a plot. number: which of the plot's; 0 is the blank page. parent: the passage that it continues."""

    number: int
    parent: int | None
    text: str
    by: By
    created: datetime


class Step(Struct, frozen=True):
    """A passage on the path, and those that were tried in its place."""

    passage: Passage
    siblings: list[Passage]


class Picture(Struct, frozen=True):
    """The picture of a plot. prompt: what it was made from."""

    media_type: str
    content: bytes
    prompt: str
    created: datetime


class Entry(Struct, frozen=True):
    """A plot in a list. opening: the beginning of its text. token: what it is shared by, if it is."""

    id: str
    title: str
    genre: str
    opening: str
    token: str | None
    created: datetime
    changed: datetime


class Written(Struct, frozen=True, kw_only=True):
    """A plot as readers see it."""

    title: str
    genre: str
    text: str
    created: datetime
    changed: datetime

    def plain(self) -> str:
        """The plot as a file of plain text."""
        return f"{self.title}\n\n{self.text.strip()}\n"

    def markdown(self) -> str:
        """The plot as Markdown that reads as it was written: nothing in it becomes markup."""
        genre = f"*{_escaped(self.genre)}*\n\n" if self.genre else ""
        lines = [_escaped(line.strip()) for line in self.text.strip().splitlines()]
        text = re.sub(r"(?<=[^\n])\n(?=[^\n])", "\\\\\n", "\n".join(lines))
        return f"# {_escaped(self.title)}\n\n{genre}{text}\n"


class Volume(Written, frozen=True, kw_only=True):
    """A plot as its writer sees it.

    current: number of the passage that it ends with. path: from its first passage to the current one; empty for a blank
    page. children: what was tried after the current one. undo, redo: where these go, if anywhere. Of siblings and
    children only the beginning of the text is there.
    """

    id: str
    token: str | None
    current: int
    path: list[Step]
    children: list[Passage]
    undo: int | None
    redo: int | None


def heading(title: str, text: str) -> str:
    """The title of a plot: as given, or else the first words of the text."""
    if title:
        return title
    words = text[:400].split()
    first = ""
    for word in words:
        if first and len(first) + 1 + len(word) > 60:
            break
        first = f"{first} {word}".strip()
    if not first:
        return UNTITLED
    return first[:60] + "…" if len(first) < len(" ".join(text.split())) else first


def _escaped(line: str) -> str:
    line = re.sub(r"([\\`*_\[\]<>&~|!#])", r"\\\1", line)
    line = re.sub(r"^([+=-])", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", line)
