"""The passages of a plot, as they are read from its tree and added to it."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from server.shelf import bounds
from server.shelf.errors import ShelfFull
from server.shelf.models import PassageRow, PlotRow
from server.shelf.volume import By, Passage, Step, Volume, heading

EXCERPT = 2_000
"""Characters that are read of a passage beside the path."""


def numbers(session: Session, plot: PlotRow, number: int) -> list[int]:
    """The numbers of the passages from the blank page to one of a plot, both included."""
    # Not a recursive query: databases that know little of a table look through all of it for each step.
    found = select(PassageRow.number, PassageRow.parent).where(PassageRow.plot_id == plot.id)
    parents = dict(session.execute(found).all())
    way: list[int] = []
    step: int | None = number
    while step is not None:
        way.append(step)
        step = parents[step]
    return way[::-1]


def path(session: Session, plot: PlotRow, number: int) -> Sequence[PassageRow]:
    """The passages from the blank page to one of a plot, both included."""
    way = numbers(session, plot, number)
    # A passage is younger than its parent, and so has a higher number.
    found = select(PassageRow).where(PassageRow.plot_id == plot.id, PassageRow.number.in_(way))
    return session.scalars(found.order_by(PassageRow.number)).all()


def beginning(session: Session, plot: PlotRow, text: str) -> tuple[list[PassageRow], int]:
    """The whole passages that a text begins with, and how many characters they have.

    Of a text that has grown, as most do, there is only the last of them.
    """
    if text.startswith(plot.text):
        return [session.get_one(PassageRow, (plot.id, plot.current))], len(plot.text)
    whole = path(session, plot, plot.current)
    length = 0
    for place, passage in enumerate(whole):
        if not text.startswith(passage.text, length):
            return list(whole[:place]), length
        length += len(passage.text)
    return list(whole), length


def grow(
    session: Session, plot: PlotRow, parent: int, texts: Sequence[str], by: By, revises: int | None = None
) -> list[PassageRow]:
    """Passages of these texts that continue another one: new ones, but for those that were tried before.

    revises: where undo leads from a new one, if not to the one that it continues. Raises ShelfFull.
    """
    tried = select(PassageRow).where(
        PassageRow.plot_id == plot.id, PassageRow.parent == parent, PassageRow.text.in_(texts)
    )
    known = {passage.text: passage for passage in session.scalars(tried)}
    for text in texts:
        if text not in known:
            if plot.passages >= bounds.PASSAGES:
                raise ShelfFull(
                    f"{bounds.PASSAGES:,} passages were tried in this plot, and a shelf keeps no more of one. Branch "
                    "it: a new plot begins with this text."
                )
            plot.passages += 1
            known[text] = row(plot, plot.passages, parent, text, by, revises)
    grown = [known[text] for text in texts]
    session.add_all(grown)
    return grown


def row(plot: PlotRow, number: int, parent: int | None, text: str, by: By, revises: int | None = None) -> PassageRow:
    """A row of this moment."""
    return PassageRow(
        plot_id=plot.id,
        number=number,
        parent=parent,
        text=text,
        by=by,
        revises=revises,
        redo=None,
        created=datetime.now(UTC),
    )


def before(current: PassageRow) -> int | None:
    """Where undo leads from a passage: an older one always, so that it comes to the blank page in the end."""
    return current.parent if current.revises is None else current.revises


def go(plot: PlotRow, way: Sequence[PassageRow]) -> None:
    """Has a plot end where a path from its blank page does."""
    end(plot, way, "".join(passage.text for passage in way))


def end(plot: PlotRow, way: Sequence[PassageRow], text: str) -> None:
    """Has a plot end with this text, and the last passage of a way there; redo leads along it from now on."""
    for parent, passage in pairwise(way):
        parent.redo = passage.number
    plot.current = way[-1].number
    plot.text = text
    plot.changed = datetime.now(UTC)


def volume(session: Session, plot: PlotRow) -> Volume:
    """A plot with its path and what was tried beside it."""
    way = numbers(session, plot, plot.current)
    on_path, continues = PassageRow.number.in_(way), PassageRow.parent.in_(way)
    shown = case((on_path, PassageRow.text), else_=func.substr(PassageRow.text, 1, EXCERPT))
    children = defaultdict(list)
    for number, parent, text, by, created in session.execute(
        select(PassageRow.number, PassageRow.parent, shown, PassageRow.by, PassageRow.created)
        .where(PassageRow.plot_id == plot.id, continues)
        .order_by(PassageRow.number)
    ):
        children[parent].append(Passage(number, parent, text, by, created))
    current = session.get_one(PassageRow, (plot.id, plot.current))
    steps = []
    for parent, number in pairwise(way):
        (passage,) = [passage for passage in children[parent] if passage.number == number]
        steps.append(Step(passage, [other for other in children[parent] if other.number != number]))
    return _volume(plot, current, steps, children[plot.current])


def fresh(plot: PlotRow, way: Sequence[PassageRow]) -> Volume:
    """A plot of which nothing is there but its path."""
    return _volume(plot, way[-1], [Step(value(row), []) for row in way[1:]], [])


def _volume(plot: PlotRow, current: PassageRow, steps: list[Step], children: list[Passage]) -> Volume:
    return Volume(
        id=plot.id,
        title=heading(plot.title, plot.text),
        genre=plot.genre,
        text=plot.text,
        token=plot.token,
        created=plot.created,
        changed=plot.changed,
        current=plot.current,
        path=steps,
        children=children,
        undo=before(current),
        redo=current.redo,
    )


def value(row: PassageRow) -> Passage:
    """A passage, as a shelf gives it back."""
    return Passage(row.number, row.parent, row.text, row.by, row.created)
