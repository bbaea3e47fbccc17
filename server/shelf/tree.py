"""Reading passages from a plot's tree, and adding passages to it."""

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
"""Characters to read of a passage beside the path."""


def numbers(session: Session, plot: PlotRow, number: int) -> list[int]:
    """Return the numbers of the passages from the blank page to `number`, both included."""
    # Not a recursive query: without statistics, a database scans the whole table for each step.
    found = select(PassageRow.number, PassageRow.parent).where(PassageRow.plot_id == plot.id)
    parents = dict(session.execute(found).all())
    way: list[int] = []
    step: int | None = number
    while step is not None:
        way.append(step)
        step = parents[step]
    return way[::-1]


def path(session: Session, plot: PlotRow, number: int) -> Sequence[PassageRow]:
    """Return the passages from the blank page to `number`, both included."""
    way = numbers(session, plot, number)
    # A passage is newer than its parent, so its number is higher.
    found = select(PassageRow).where(PassageRow.plot_id == plot.id, PassageRow.number.in_(way))
    return session.scalars(found.order_by(PassageRow.number)).all()


def beginning(session: Session, plot: PlotRow, text: str) -> tuple[list[PassageRow], int]:
    """Return the whole passages at the beginning of a text, and the number of their characters.

    If the text has only grown, as usual, just the last of these passages is returned.
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


def keep(session: Session, plot: PlotRow, text: str, by: By, closed: bool) -> PassageRow:
    """Keep the text as it is now, and return its last passage. Raises ShelfFull.

    closed: the passage does not grow from now on.
    """
    if plot.growing and by == "writer" and text.startswith(plot.text):
        last = session.get_one(PassageRow, (plot.id, plot.current))
        if added := text[len(plot.text) :]:
            last.text += added
            end(plot, [last], text)
        plot.growing = not closed
        return last
    passages = plot.passages
    way, length = beginning(session, plot, text)
    if length < len(text):
        stood, parent = plot.current, way[-1].number
        way += grow(session, plot, parent, [text[length:]], by, stood if stood != parent else None)
    if way[-1].number != plot.current:
        end(plot, way, text)
    plot.growing = by == "writer" and plot.passages > passages and not closed
    return way[-1]


def grow(
    session: Session, plot: PlotRow, parent: int, texts: Sequence[str], by: By, revises: int | None = None
) -> list[PassageRow]:
    """Return passages with these texts after `parent`, new ones for new texts.

    revises: the passage to undo to from a new one, if not its parent. Raises ShelfFull.
    """
    tried = select(PassageRow).where(
        PassageRow.plot_id == plot.id, PassageRow.parent == parent, PassageRow.text.in_(texts)
    )
    known = {passage.text: passage for passage in session.scalars(tried)}
    for text in texts:
        if text not in known:
            if plot.passages >= bounds.PASSAGES:
                raise ShelfFull(
                    f"This plot is full: it has {bounds.PASSAGES:,} passages. Branch it to begin a new plot with this "
                    "text."
                )
            plot.passages += 1
            known[text] = row(plot, plot.passages, parent, text, by, revises)
    grown = [known[text] for text in texts]
    session.add_all(grown)
    return grown


def row(plot: PlotRow, number: int, parent: int | None, text: str, by: By, revises: int | None = None) -> PassageRow:
    """Return a new row, created now."""
    return PassageRow(
        plot_id=plot.id, number=number, parent=parent, text=text, by=by, revises=revises, created=datetime.now(UTC)
    )


def before(current: PassageRow) -> int | None:
    """Return the passage to undo to. It is always an older one, so undo ends at the blank page."""
    return current.parent if current.revises is None else current.revises


def go(plot: PlotRow, way: Sequence[PassageRow]) -> None:
    """Make a plot end with the last passage of a path from its blank page."""
    end(plot, way, "".join(passage.text for passage in way))


def end(plot: PlotRow, way: Sequence[PassageRow], text: str) -> None:
    """Make a plot end with this text and the last passage of `way`. Redo leads along `way` from now on."""
    for parent, passage in pairwise(way):
        parent.redo = passage.number
    plot.current = way[-1].number
    plot.growing = False
    plot.text = text
    plot.changed = datetime.now(UTC)


def volume(session: Session, plot: PlotRow) -> Volume:
    """Return a plot with its path and the passages beside it."""
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
    """Return a new plot. It has only its path."""
    return _volume(plot, way[-1], [Step(value(row), []) for row in way[1:]], [])


def _volume(plot: PlotRow, current: PassageRow, steps: list[Step], children: list[Passage]) -> Volume:
    return Volume(
        id=plot.id,
        title=heading(plot.title, plot.text),
        genre=plot.genre,
        text=plot.text,
        cover=plot.cover,
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
    """Return a row as a value."""
    return Passage(row.number, row.parent, row.text, row.by, row.created)
