"""Answers to the desk's script: the state of a plot, and explanations of errors."""

from typing import Any

from litestar import Response
from litestar.exceptions import PermissionDeniedException, TooManyRequestsException
from msgspec import Struct

from server.desk.rewriting import SelectionError
from server.desk.utf16 import utf16_length
from server.engine import EngineBusy
from server.http.errors import headers_of, message_of, status_of
from server.shelf import NotKept, NotOnShelf, ShelfError, Volume
from server.shelf.authorship import By
from server.writing.brief import BriefError

EXPLAINED = (
    BriefError,
    EngineBusy,
    PermissionDeniedException,
    SelectionError,
    ShelfError,
    TooManyRequestsException,
)
"""Errors with an explanation on the desk's page."""


class DeskState(Struct, frozen=True):
    """A plot as the desk's script knows it.

    authors: runs of the text, each with its length in UTF-16 units and its author. replaced: see `Volume`.
    """

    plot: str
    address: str
    title: str
    text: str
    undo: bool
    redo: bool
    authors: list[tuple[int, By]]
    replaced: int | None

    @classmethod
    def of(cls, volume: Volume, root_path: str) -> "DeskState":
        """Return the state of a plot."""
        return cls(
            plot=volume.id,
            address=f"{root_path}/shelf/{volume.id}",
            title=volume.title,
            text=volume.text,
            undo=volume.undo is not None,
            redo=volume.redo is not None,
            authors=authors(volume),
            replaced=volume.replaced,
        )


def offered(volume: Volume) -> list[tuple[int, str]]:
    """Return the numbers and texts of the last three continuations offered for the current text."""
    return [
        (passage.number, passage.text)
        for passage in volume.children
        if passage.authors == [(len(passage.text), "model")]
    ][-3:]


def authors(volume: Volume) -> list[tuple[int, By]]:
    """Return the runs of a plot's text, with lengths in UTF-16 units."""
    found, start = [], 0
    for length, by in volume.authors:
        found.append((utf16_length(volume.text[start : start + length]), by))
        start += length
    return found


def explanation(error: Exception) -> tuple[str, dict[str, str]]:
    """Return the message of an error, and the problems of fields in place of a message."""
    match error:
        case NotOnShelf():
            return message_of(error), {}
        case ShelfError():
            field = error.field if isinstance(error, NotKept) else "text"
            return "", {field: f"The text is not kept: {message_of(error)}"}
        case BriefError():
            return "", error.problems
    return message_of(error), {}


def refusal(error: Exception, message: str, problems: dict[str, str]) -> Response[Any]:
    """Return the explanation of an error as JSON."""
    content = {"message": message, "problems": problems}
    return Response(content, status_code=status_of(error), headers=headers_of(error))
