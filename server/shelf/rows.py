"""Finding and creating the rows of a shelf."""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from server.shelf import bounds, tree
from server.shelf.authorship import By, Run
from server.shelf.errors import NotOnShelf, ShelfFull
from server.shelf.models import PassageRow, PictureRow, PlotRow
from server.shelf.volume import Picture, Written, heading

NAME = re.compile(r"[\w-]{22}", re.ASCII)
"""The form of plot ids and of link tokens: 128 random bits."""


UNTOUCHED = (PlotRow.searched == "\n", PlotRow.changed == PlotRow.created)
"""Conditions of a plot in which nothing was ever written or taken, except perhaps white space."""

ABANDONED = timedelta(days=1)
"""The age at which an untouched plot is deleted."""


def new(
    session: Session,
    owner: str,
    title: str,
    genre: str,
    steering: Mapping[str, str],
    texts: Sequence[tuple[str, By, list[Run] | None]],
    id: str | None = None,
) -> tuple[PlotRow, list[PassageRow]]:
    """Create a plot with these passages after the blank page. Raises ShelfFull.

    texts: of each passage, with its `by` and `runs`. id: a random one by default.
    """
    now = datetime.now(UTC)
    session.execute(delete(PlotRow).where(PlotRow.owner == owner, *UNTOUCHED, PlotRow.created < now - ABANDONED))
    # On PostgreSQL, plots that begin at the same moment may exceed the limit by a few, which does no harm.
    if count(session, PlotRow.owner == owner) >= bounds.PLOTS:
        raise ShelfFull(f"The shelf is full: it has {bounds.PLOTS:,} plots. Delete one.")
    plot = PlotRow(
        id=id or secrets.token_urlsafe(16),
        owner=owner,
        title=title,
        genre=genre,
        steering=dict(steering),
        text="".join(text for text, *_ in texts),
        current=len(texts),
        passages=len(texts),
        created=now,
        changed=now,
    )
    session.add(plot)
    session.flush()
    way = [tree.row(plot, 0, None, "", "writer")]
    for number, (text, by, runs) in enumerate(texts, 1):
        way[-1].redo = number
        way.append(tree.row(plot, number, number - 1, text, by, runs))
    session.add_all(way)
    session.flush()
    return plot, way


def find(session: Session, owner: str, id: str) -> PlotRow:
    """Return a plot, locked until the end of the transaction. Raises NotOnShelf."""
    plot = None
    if NAME.fullmatch(id):
        plot = session.scalar(select(PlotRow).where(PlotRow.id == id, PlotRow.owner == owner).with_for_update())
    if plot is None:
        raise NotOnShelf("This plot is not on your shelf. It was deleted, or it is on another browser's shelf.")
    return plot


def find_shared(session: Session, token: str) -> PlotRow:
    """Return the plot with this link token. Raises NotOnShelf."""
    plot = session.scalar(select(PlotRow).where(PlotRow.token == token)) if NAME.fullmatch(token) else None
    if plot is None:
        raise NotOnShelf("This link does not lead to a plot any more. Ask the person who sent it for a new one.")
    return plot


def way(session: Session, plot: PlotRow, number: int) -> Sequence[PassageRow]:
    """Return the path to a passage. Raises NotOnShelf."""
    if not 0 <= number <= plot.passages:
        raise NotOnShelf(f"There is no passage {number} in this plot, which has {plot.passages:,} passages.")
    return tree.path(session, plot, number)


def written(plot: PlotRow) -> Written:
    """Return a plot for its readers."""
    return Written(
        title=heading(plot.title, plot.text),
        genre=plot.genre,
        text=plot.text,
        cover=plot.cover,
        created=plot.created,
        changed=plot.changed,
    )


def illustrated(session: Session, plot: PlotRow) -> bool:
    """Return True if a plot has a picture in place of its drawn cover."""
    return session.scalar(select(PictureRow.plot_id).where(PictureRow.plot_id == plot.id)) is not None


def picture(session: Session, plot: PlotRow) -> Picture:
    """Return the picture of a plot. Raises NotOnShelf."""
    row = session.get(PictureRow, plot.id)
    if row is None:
        raise NotOnShelf("This plot has no picture yet. Illustrate it.")
    return Picture(row.media_type, row.content, row.prompt, row.created)


def count(session: Session, *conditions: ColumnElement[bool]) -> int:
    """Count the plots under all conditions."""
    return session.scalar(select(func.count()).select_from(PlotRow).where(*conditions)) or 0
