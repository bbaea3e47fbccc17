"""The rows of a shelf, as they are found and begun."""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from server.shelf import bounds, tree
from server.shelf.errors import NotOnShelf, ShelfFull
from server.shelf.models import PassageRow, PictureRow, PlotRow
from server.shelf.volume import By, Picture

NAME = re.compile(r"[\w-]{22}", re.ASCII)
"""What the ids of plots and the tokens of shares look like: 128 random bits."""


def new(
    session: Session, owner: str, title: str, genre: str, texts: Sequence[tuple[str, By]]
) -> tuple[PlotRow, list[PassageRow]]:
    """A plot, with a path of passages from the blank page on, each by somebody. Raises ShelfFull."""
    # PostgreSQL lets those who begin at the same moment overstep this by their number; that harms nobody.
    if count(session, PlotRow.owner == owner) >= bounds.PLOTS:
        raise ShelfFull(f"There are {bounds.PLOTS:,} plots on the shelf, and no more fit. Delete one.")
    now = datetime.now(UTC)
    plot = PlotRow(
        id=secrets.token_urlsafe(16),
        owner=owner,
        title=title,
        genre=genre,
        text="".join(text for text, _ in texts),
        current=len(texts),
        passages=len(texts),
        token=None,
        created=now,
        changed=now,
    )
    session.add(plot)
    session.flush()
    way = [tree.row(plot, 0, None, "", "writer")]
    for number, (text, by) in enumerate(texts, 1):
        way[-1].redo = number
        way.append(tree.row(plot, number, number - 1, text, by))
    session.add_all(way)
    session.flush()
    return plot, way


def find(session: Session, owner: str, id: str) -> PlotRow:
    """A plot, which nobody changes before the transaction's end. Raises NotOnShelf."""
    plot = None
    if NAME.fullmatch(id):
        plot = session.scalar(select(PlotRow).where(PlotRow.id == id, PlotRow.owner == owner).with_for_update())
    if plot is None:
        raise NotOnShelf(f"There is no plot {id:.40} on this shelf: it was deleted, or it is on another one.")
    return plot


def find_shared(session: Session, token: str) -> PlotRow:
    plot = session.scalar(select(PlotRow).where(PlotRow.token == token)) if NAME.fullmatch(token) else None
    if plot is None:
        raise NotOnShelf("Nothing is shared by this link, or no longer. Ask whoever gave it to you for a new one.")
    return plot


def way(session: Session, plot: PlotRow, number: int) -> Sequence[PassageRow]:
    """The path to a passage. Raises NotOnShelf."""
    if not 0 <= number <= plot.passages:
        raise NotOnShelf(f"There is no passage {number} in this plot: it has {plot.passages:,}.")
    return tree.path(session, plot, number)


def picture(session: Session, plot: PlotRow) -> Picture:
    row = session.get(PictureRow, plot.id)
    if row is None:
        raise NotOnShelf("This plot has no picture yet. Illustrate it.")
    return Picture(row.media_type, row.content, row.prompt, row.created)


def count(session: Session, *found: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(PlotRow).where(*found)) or 0
