"""Reading passages from a plot's tree, and adding passages to it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.shelf import bounds
from server.shelf.authorship import By, Run, changed, part, replaced
from server.shelf.errors import ShelfFull
from server.shelf.models import PassageRow, PlotRow
from server.shelf.volume import Passage, Volume, heading

EXCERPT = 2_000
"""Characters to read of a passage after the path."""

SITTING = timedelta(minutes=10)
"""A passage does not grow after a longer pause: one undo takes back one sitting."""

UNWOUND = 50
"""Steps of undo, and of redo, to look through for a text."""


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


def keep(session: Session, plot: PlotRow, text: str, by: By, closed: bool, caret: int | None = None) -> PassageRow:
    """Keep the text as it is now, and return its last passage. Raises ShelfFull.

    closed: the passage does not grow from now on. caret: see `changed`.
    """
    at = plot.typed_to if datetime.now(UTC) - plot.changed < SITTING else None
    if at is not None and by == "writer" and _typed_on(plot.text, text, at):
        last = session.get_one(PassageRow, (plot.id, plot.current))
        if added := text[at : at + len(text) - len(plot.text)]:
            place = at - (len(plot.text) - len(last.text))
            _write(last, _authors(last), place, place, added, by)
            end(plot, [last], text)
        plot.typed_to = None if closed else at + len(added)
        return last
    start, same = changed(plot.text, text, caret)
    passages = plot.passages
    last = put(session, plot, start, len(plot.text) - same, text[start : len(text) - same], by)
    if by == "writer" and plot.passages > passages and not closed:
        plot.typed_to = len(text) - same
    return last


def put(session: Session, plot: PlotRow, start: int, stop: int, words: str, by: By) -> PassageRow:
    """Put words in place of the characters from `start` to `stop`. Return the last passage.

    Raises ShelfFull. The whole passages before `start` stay. All behind them becomes one passage, in which other words
    keep their authors. So however long the path, such an edit takes one passage, and one step of undo.
    """
    plot.typed_to = None
    text = plot.text[:start] + words + plot.text[stop:]
    if text == plot.text:
        return session.get_one(PassageRow, (plot.id, plot.current))
    if start == len(plot.text):  # it has only grown, as usual
        way = [session.get_one(PassageRow, (plot.id, plot.current))]
        return _end_with(session, plot, way, text, by, [(len(words), by)])
    whole = path(session, plot, plot.current)
    ends = accumulate(len(passage.text) for passage in whole)
    way = [passage for passage, end in zip(whole, ends, strict=True) if end <= start]
    authors = replaced([run for passage in whole for run in _authors(passage)], start, stop, (len(words), by))
    kept = sum(len(passage.text) for passage in way)
    return _end_with(session, plot, way, text, by, part(authors, kept, len(text)))


def unwind(session: Session, plot: PlotRow, text: str) -> PassageRow | None:
    """Go back to a text that the plot had earlier, also while a passage grew. Return its last passage.

    Undo goes back from there, and redo to where the plot is now. If whole passages had been deleted, the text is that
    of a passage to which redo leads, and nothing else changes. Return None if neither leads to such a text.
    """
    stood, number, stands, grown = plot.current, plot.current, plot.text, True
    origin: int | None = None  # where undo leads from a passage that grew from this text
    for _ in range(UNWOUND):
        earlier = before(session.get_one(PassageRow, (plot.id, number)))
        if earlier is None:
            break
        if grown := grown and _grew(text, stands):
            origin = earlier
        way = path(session, plot, earlier)
        number, stands = earlier, "".join(passage.text for passage in way)
        if stands == text:
            end(plot, way, text)
            way[-1].redo = stood
            return way[-1]
    if origin is None:
        return _wind(session, plot, text)
    passages, (start, same) = plot.passages, changed(plot.text, text)
    last = put(session, plot, start, len(plot.text) - same, "", "writer")
    if plot.passages > passages:
        last.revises = origin if origin != last.parent else None
    last.redo = stood
    return last


def _wind(session: Session, plot: PlotRow, text: str) -> PassageRow | None:
    """Go forward to a text to which redo leads. Return its last passage; None if there is none."""
    found = select(PassageRow.number, PassageRow.redo).where(PassageRow.plot_id == plot.id)
    onward = dict(session.execute(found).all())
    ahead: dict[int, None] = {}
    step = onward[plot.current]
    while step is not None and step not in ahead:
        ahead[step] = None
        step = onward[step]
    for number in list(ahead)[: -UNWOUND - 1 : -1]:  # most often it is the last one
        way = path(session, plot, number)
        if "".join(passage.text for passage in way) == text:
            end(plot, way, text)
            return way[-1]
    return None


def _grew(before: str, after: str) -> bool:
    """Return True if the second text is the first one with more in one place."""
    start, same = changed(before, after)
    return len(after) > len(before) == start + same


def _end_with(
    session: Session, plot: PlotRow, way: list[PassageRow], text: str, by: By, authors: list[Run]
) -> PassageRow:
    """End a plot with the passages of `way` and the rest of its new text, by these authors."""
    length = len(text) - sum(length for length, _ in authors)
    if authors:
        stood, parent = plot.current, way[-1].number
        way += grow(session, plot, parent, [text[length:]], by, stood if stood != parent else None, authors)
    end(plot, way, text)
    return way[-1]


def _typed_on(before: str, after: str, at: int) -> bool:
    """Return True if the second text is the first one with more at this place, or the same."""
    return len(after) >= len(before) and after[:at] == before[:at] and after.endswith(before[at:])


def _write(passage: PassageRow, authors: list[Run], start: int, stop: int, words: str, by: By) -> None:
    passage.text = passage.text[:start] + words + passage.text[stop:]
    passage.runs = _mixed(replaced(authors, start, stop, (len(words), by)), passage.by)


def _authors(passage: PassageRow) -> list[Run]:
    return value(passage).authors


def _mixed(authors: list[Run] | None, by: By) -> list[Run] | None:
    """Return the authors of a passage as its row has them: None if all of it is by its own author."""
    return authors if authors and {each for _, each in authors} != {by} else None


def grow(
    session: Session,
    plot: PlotRow,
    parent: int,
    texts: Sequence[str],
    by: By,
    revises: int | None = None,
    authors: list[Run] | None = None,
) -> list[PassageRow]:
    """Return passages with these texts after `parent`, new ones for new texts.

    revises: the passage to undo to from a new one, if not its parent. authors: of the characters of a single text; by
    default all are `by`'s. Raises ShelfFull.
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
            known[text] = row(plot, plot.passages, parent, text, by, _mixed(authors, by), revises)
    grown = [known[text] for text in texts]
    session.add_all(grown)
    return grown


def row(
    plot: PlotRow,
    number: int,
    parent: int | None,
    text: str,
    by: By,
    runs: list[Run] | None = None,
    revises: int | None = None,
) -> PassageRow:
    """Return a new row, created now."""
    return PassageRow(
        plot_id=plot.id,
        number=number,
        parent=parent,
        text=text,
        by=by,
        runs=runs,
        revises=revises,
        created=datetime.now(UTC),
    )


def before(current: PassageRow) -> int | None:
    """Return the passage to undo to. It is always an older one, so undo ends at the blank page."""
    return current.parent if current.revises is None else current.revises


def go(plot: PlotRow, way: Sequence[PassageRow]) -> None:
    """Make a plot end with the last passage of a path from its blank page."""
    end(plot, way, "".join(passage.text for passage in way))


def visit(plot: PlotRow, way: Sequence[PassageRow]) -> None:
    """Do the same as `go`, and have Undo take it back first, with the visits right before it."""
    origin = plot.current if plot.visited_from is None else plot.visited_from
    onward = before(way[-1]) == plot.current  # Undo leads back anyway
    go(plot, way)
    plot.visited_from = None if onward or origin == plot.current else origin


def end(plot: PlotRow, way: Sequence[PassageRow], text: str) -> None:
    """Make a plot end with this text and the last passage of `way`. Redo leads along `way` from now on."""
    for parent, passage in pairwise(way):
        parent.redo = passage.number
    plot.current = way[-1].number
    plot.typed_to = plot.visited_from = plot.visited = None
    plot.text = text
    plot.changed = datetime.now(UTC)


def volume(session: Session, plot: PlotRow, replaced: int | None = None) -> Volume:
    """Return a plot with its path and the passages after it. replaced: see `Volume`."""
    way = path(session, plot, plot.current)
    columns = (
        PassageRow.number,
        PassageRow.parent,
        func.substr(PassageRow.text, 1, EXCERPT),
        PassageRow.by,
        PassageRow.created,
        PassageRow.runs,
    )
    after = select(*columns).where(PassageRow.plot_id == plot.id, PassageRow.parent == plot.current)
    children = [
        Passage(number, parent, text, by, created, _tuples(runs))
        for number, parent, text, by, created, runs in session.execute(after.order_by(PassageRow.number))
    ]
    return _volume(plot, way, children, replaced if replaced != plot.current else None)


def fresh(plot: PlotRow, way: Sequence[PassageRow]) -> Volume:
    """Return a new plot. It has only its path."""
    return _volume(plot, way, [], None)


def _volume(plot: PlotRow, way: Sequence[PassageRow], children: list[Passage], replaced: int | None) -> Volume:
    current = way[-1]
    return Volume(
        id=plot.id,
        title=heading(plot.title, plot.text),
        genre=plot.genre,
        steering=plot.steering,
        text=plot.text,
        cover=plot.cover,
        token=plot.token,
        created=plot.created,
        changed=plot.changed,
        current=plot.current,
        path=[value(row) for row in way[1:]],
        children=children,
        undo=before(current) if plot.visited_from is None else plot.visited_from,
        redo=current.redo if plot.visited is None else plot.visited,
        replaced=replaced,
    )


def value(row: PassageRow) -> Passage:
    """Return a row as a value."""
    return Passage(row.number, row.parent, row.text, row.by, row.created, _tuples(row.runs))


def _tuples(runs: list[Run] | None) -> list[Run] | None:
    """Return runs as they are before the database: JSON has no tuples."""
    return runs and [(length, by) for length, by in runs]
