"""The passages of a plot, as they are read from its tree and added to it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from server.shelf import bounds
from server.shelf.errors import ShelfFull
from server.shelf.models import PassageRow, PlotRow
from server.shelf.volume import By, Passage, Step, Volume, heading

EXCERPT = 2_000
"""Characters that are read of a passage beside the path."""


async def path(session: AsyncSession, plot: PlotRow, number: int) -> Sequence[PassageRow]:
    """The passages from the blank page to one of a plot, both included."""
    up = (
        select(PassageRow.number, PassageRow.parent)
        .where(PassageRow.plot_id == plot.id, PassageRow.number == number)
        .cte(recursive=True)
    )
    child, parent = aliased(up), aliased(PassageRow)
    up = up.union_all(
        select(parent.number, parent.parent).where(parent.plot_id == plot.id, parent.number == child.c.parent)
    )
    # A passage is younger than its parent, and so has a higher number.
    return (
        await session.scalars(
            select(PassageRow)
            .where(PassageRow.plot_id == plot.id, PassageRow.number.in_(select(up.c.number)))
            .order_by(PassageRow.number)
        )
    ).all()


async def child(session: AsyncSession, plot: PlotRow, parent: int, text: str) -> PassageRow | None:
    """The passage of this text that continues another one, where there is one."""
    return await session.scalar(
        select(PassageRow).where(PassageRow.plot_id == plot.id, PassageRow.parent == parent, PassageRow.text == text)
    )


async def grow(session: AsyncSession, plot: PlotRow, parent: int, text: str, by: By) -> PassageRow:
    """A passage of this text that continues another one: a new one, unless that was tried before. Raises ShelfFull."""
    if found := await child(session, plot, parent, text):
        return found
    if plot.passages >= bounds.PASSAGES:
        raise ShelfFull(
            f"{bounds.PASSAGES:,} passages were tried in this plot, and a shelf keeps no more of one. Branch it: a new "
            "plot begins with this text."
        )
    plot.passages += 1
    passage = PassageRow(
        plot_id=plot.id, number=plot.passages, parent=parent, text=text, by=by, redo=None, created=datetime.now(UTC)
    )
    session.add(passage)
    await session.flush()  # a child goes into the database after its parent
    return passage


def go(plot: PlotRow, way: Sequence[PassageRow]) -> None:
    """Has a plot end with the last passage of a path from its blank page; redo leads along it from now on."""
    for parent, passage in pairwise(way):
        parent.redo = passage.number
    plot.current = way[-1].number
    plot.text = "".join(passage.text for passage in way)
    plot.changed = datetime.now(UTC)


async def volume(session: AsyncSession, plot: PlotRow) -> Volume:
    """A plot with its path and what was tried beside it."""
    way = await path(session, plot, plot.current)
    beside = defaultdict(list)
    excerpt = func.substr(PassageRow.text, 1, EXCERPT)
    for number, parent, text, by, created in await session.execute(
        select(PassageRow.number, PassageRow.parent, excerpt, PassageRow.by, PassageRow.created)
        .where(PassageRow.plot_id == plot.id, PassageRow.parent.in_([passage.number for passage in way]))
        .order_by(PassageRow.number)
    ):
        beside[parent].append(Passage(number, parent, text, by, created))
    return Volume(
        id=plot.id,
        title=heading(plot.title, plot.text),
        genre=plot.genre,
        text=plot.text,
        token=plot.token,
        created=plot.created,
        changed=plot.changed,
        current=plot.current,
        path=[
            Step(value(passage), [other for other in beside[passage.parent] if other.number != passage.number])
            for passage in way[1:]
        ],
        children=beside[plot.current],
        undo=way[-1].parent,
        redo=way[-1].redo,
    )


def value(row: PassageRow) -> Passage:
    """A passage, as a shelf gives it back."""
    return Passage(row.number, row.parent, row.text, row.by, row.created)
