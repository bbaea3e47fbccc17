"""The rows of a shelf, as they are found and begun."""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.shelf import bounds, tree
from server.shelf.errors import NotOnShelf, ShelfFull
from server.shelf.models import PassageRow, PictureRow, PlotRow
from server.shelf.volume import Picture

NAME = re.compile(r"[\w-]{22}", re.ASCII)
"""What the ids of plots and the tokens of shares look like: 128 random bits."""


async def new(session: AsyncSession, owner: str, title: str, genre: str) -> PlotRow:
    """A plot that is a blank page. Raises ShelfFull."""
    # PostgreSQL lets those who begin at the same moment overstep this by their number; that harms nobody.
    if await count(session, PlotRow.owner == owner) >= bounds.PLOTS:
        raise ShelfFull(f"There are {bounds.PLOTS:,} plots on the shelf, and no more fit. Delete one.")
    now = datetime.now(UTC)
    plot = PlotRow(
        id=secrets.token_urlsafe(16),
        owner=owner,
        title=title,
        genre=genre,
        text="",
        current=0,
        passages=0,
        token=None,
        created=now,
        changed=now,
    )
    session.add(plot)
    await session.flush()
    session.add(tree.row(plot, 0, None, "", "writer"))
    await session.flush()
    return plot


async def find(session: AsyncSession, owner: str, id: str) -> PlotRow:
    """A plot, which nobody changes before the transaction's end. Raises NotOnShelf."""
    plot = None
    if NAME.fullmatch(id):
        plot = await session.scalar(select(PlotRow).where(PlotRow.id == id, PlotRow.owner == owner).with_for_update())
    if plot is None:
        raise NotOnShelf(f"There is no plot {id:.40} on this shelf: it was deleted, or it is on another one.")
    return plot


async def find_shared(session: AsyncSession, token: str) -> PlotRow:
    plot = await session.scalar(select(PlotRow).where(PlotRow.token == token)) if NAME.fullmatch(token) else None
    if plot is None:
        raise NotOnShelf("Nothing is shared by this link, or no longer. Ask whoever gave it to you for a new one.")
    return plot


async def way(session: AsyncSession, plot: PlotRow, number: int) -> Sequence[PassageRow]:
    """The path to a passage. Raises NotOnShelf."""
    if not 0 <= number <= plot.passages:
        raise NotOnShelf(f"There is no passage {number} in this plot: it has {plot.passages:,}.")
    return await tree.path(session, plot, number)


async def picture(session: AsyncSession, plot: PlotRow) -> Picture:
    row = await session.get(PictureRow, plot.id)
    if row is None:
        raise NotOnShelf("This plot has no picture yet. Illustrate it.")
    return Picture(row.media_type, row.content, row.prompt, row.created)


async def count(session: AsyncSession, *found: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count()).select_from(PlotRow).where(*found)) or 0
