"""The shelf: plots by owner."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from functools import wraps
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakValueDictionary

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from server.shelf import bounds, listing, rows, tree
from server.shelf.authorship import By, joined
from server.shelf.database import DatabaseHealth, check_writable, opened, shown
from server.shelf.listing import Sort
from server.shelf.marks import mark, unknown
from server.shelf.models import PassageRow, PictureRow, PlotRow, SecretRow
from server.shelf.outline import Outline, outline
from server.shelf.transactions import Transactions
from server.shelf.volume import Entry, Passage, Picture, Volume, Written, heading

BRANCH = " (branch)"

Asked = ParamSpec("Asked")
Result = TypeVar("Result")
Transaction = Callable[Concatenate["Shelf", Session, Asked], Result]
Method = Callable[Concatenate["Shelf", Asked], Coroutine[Any, Any, Result]]


def reads(transaction: Transaction[Asked, Result]) -> Method[Asked, Result]:
    """Turn a read-only transaction into a method to await, without its session."""
    return _method(transaction, writes=False)


def writes(transaction: Transaction[Asked, Result]) -> Method[Asked, Result]:
    """Turn a writing transaction into a method to await, without its session."""
    return _method(transaction, writes=True)


def _method(transaction: Transaction[Asked, Result], *, writes: bool) -> Method[Asked, Result]:
    @wraps(transaction)
    async def method(shelf: "Shelf", /, *args: Asked.args, **kwargs: Asked.kwargs) -> Result:
        with shelf.health.watching():
            return await shelf.transactions.run(
                lambda session: transaction(shelf, session, *args, **kwargs), writes=writes
            )

    return method


class Shelf:
    """Keeps plots for their owners. `async with Shelf.open(settings.database) as shelf`.

    Each method is a transaction. When it returns, its changes are on the disk; if it raises, nothing has changed.
    Several processes may use one database at once. owner: the id of a shelf, verified by the caller. Methods raise
    NotOnShelf for a missing plot, passage or picture, or one of another owner, NotKept for a text too long or
    impossible to store, ShelfFull at a limit, and ShelfUnusable when the database fails.

    health: tells if the database fails. transactions: runs them. engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.health = DatabaseHealth(shown(engine.url))
        self.transactions = Transactions(engine)
        self._searching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    @asynccontextmanager
    async def open(cls, database: str) -> AsyncIterator[Self]:
        """Open the shelf in a database, after creating or migrating its tables.

        database: a URL, a path, or empty for a file in the user's data folder. Raises ShelfUnusable.
        """
        engine = await asyncio.to_thread(opened, database)
        shelf = cls(engine)
        rechecking = asyncio.create_task(shelf.health.recheck(shelf._check))
        try:
            yield shelf
        finally:
            rechecking.cancel()
            try:
                await shelf.transactions.close()
            finally:
                engine.dispose()

    async def _check(self) -> None:
        """Raise DBAPIError or OSError unless the database can be written."""
        await self.transactions.run(lambda session: check_writable(session.connection()), writes=True)

    @reads
    def secret(self, session: Session) -> bytes:
        """Return the secret for signing cookies, the same for all processes with this database."""
        return session.get_one(SecretRow, 1).secret

    @writes
    def begin(
        self,
        session: Session,
        owner: str,
        text: str = "",
        by: By = "writer",
        title: str = "",
        genre: str = "",
        id: str | None = None,
        closed: bool = False,
        steering: Mapping[str, str] = MappingProxyType({}),
        known: Collection[str] = (),
    ) -> Volume:
        """Create a plot with this text. Without a title, its first words are the title.

        id: the new plot's, a random one by default; if the shelf has this plot already, the text is kept there. closed,
        steering, known: see `keep`.
        """
        text, title, genre = bounds.text("text", text), bounds.line("title", title), bounds.line("genre", genre)
        if id and rows.count(session, PlotRow.id == id, PlotRow.owner == owner):
            plot = rows.find(session, owner, id)
            _steer(plot, genre, steering)
            return _keep(session, plot, text, by, known, closed)
        steering = bounds.steering(steering)
        plot, way = rows.new(session, owner, title, genre, steering, [(text, by, None)] if text else [], id)
        plot.typed_to = len(text) if text and by == "writer" and not closed else None
        return tree.fresh(plot, way)

    @writes
    def keep(
        self,
        session: Session,
        owner: str,
        id: str,
        text: str,
        by: By,
        genre: str | None = None,
        closed: bool = False,
        steering: Mapping[str, str] | None = None,
        caret: int | None = None,
        undone: bool = False,
        known: Collection[str] = (),
    ) -> Volume:
        """Keep the text as it is now.

        by: the author of the new part. genre: the plot's new genre, empty for none; None leaves it. steering: the
        fields of the desk besides text and genre; those that are absent stay. caret: the writer's place in the text.
        The text after the longest beginning of whole passages becomes a passage. The replaced passages stay in the
        tree. A new passage of the writer grows while they only type on in one place, until any other change or a
        pause. closed: it does not. undone: the writer has undone what they did after an earlier text, so this is no
        edit.
        known: marks of the texts that the page knows, its new one among them; empty if it tells none. If the plot has
        another text, that stays in the tree, as `Volume.replaced`; the new one is not kept if its own mark is all that
        the page tells.
        """
        text = bounds.text("text", text)
        plot = rows.find(session, owner, id)
        _steer(plot, genre, steering)
        return _keep(session, plot, text, by, known, closed, caret, undone)

    @writes
    def take(
        self,
        session: Session,
        owner: str,
        id: str,
        text: str,
        taken: str,
        rest: str,
        genre: str | None = None,
        steering: Mapping[str, str] | None = None,
        known: Collection[str] = (),
    ) -> Volume:
        """Put words of the model between `text` and `rest`, in place of all that the plot has there.

        If the writer has changed the text, that is kept first, as another step of undo. genre, steering, known: see
        `keep`.
        """
        text, taken, rest = (bounds.text("text", each) for each in (text, taken, rest))
        bounds.text("text", text + taken + rest)
        plot = rows.find(session, owner, id)
        _steer(plot, genre, steering)
        replaced = unknown(plot, known)
        stop = len(plot.text) - len(rest)
        if not (len(text) <= stop and plot.text.startswith(text) and plot.text.endswith(rest)):
            tree.keep(session, plot, text + rest, "writer", closed=True, caret=len(text))
            stop = len(text)
        tree.put(session, plot, len(text), stop, taken, "model")
        return tree.volume(session, plot, replaced)

    @reads
    def steering(self, session: Session, owner: str) -> dict[str, str]:
        """Return the genre and the steering of the plot that changed last; {} for a new shelf."""
        last = select(PlotRow.genre, PlotRow.steering).where(PlotRow.owner == owner).order_by(PlotRow.changed.desc())
        genre, steering = session.execute(last.limit(1)).one_or_none() or ("", {})
        return ({"genre": genre} if genre else {}) | steering

    @writes
    def offer(self, session: Session, owner: str, id: str, after: int, texts: Sequence[str]) -> list[Passage]:
        """Keep the model's suggestions after a passage, all or none of them. The text stays as it is."""
        plot = rows.find(session, owner, id)
        before = [plot] if after == plot.current else rows.way(session, plot, after)
        most = bounds.TEXT - sum(len(each.text) for each in before)
        offered = [bounds.text("text", text, most) for text in texts]
        plot.typed_to = None
        return [tree.value(row) for row in tree.grow(session, plot, after, list(filter(None, offered)), "model")]

    @writes
    def choose(self, session: Session, owner: str, id: str, passage: int) -> Volume:
        """Make the text end with any passage of the plot. Undo takes that back first."""
        plot = rows.find(session, owner, id)
        tree.visit(plot, rows.way(session, plot, passage))
        return tree.volume(session, plot)

    @writes
    def undo(self, session: Session, owner: str, id: str) -> Volume:
        """Go back from a visit through the tree, else to the text before its last growth or edit.

        The blank page stays.
        """
        plot = rows.find(session, owner, id)
        if plot.visited_from is not None:
            visited = plot.current
            tree.go(plot, tree.path(session, plot, plot.visited_from))
            plot.visited = visited
            return tree.volume(session, plot)
        undone = session.get_one(PassageRow, (plot.id, plot.current))
        if (number := tree.before(undone)) is not None:
            way = tree.path(session, plot, number)
            tree.go(plot, way)
            way[-1].redo = undone.number
        return tree.volume(session, plot)

    @writes
    def redo(self, session: Session, owner: str, id: str) -> Volume:
        """Visit a passage again if Undo took that back, else go on to the most recent next passage.

        Without one, the text stays.
        """
        plot = rows.find(session, owner, id)
        if plot.visited is not None:
            tree.visit(plot, tree.path(session, plot, plot.visited))
            return tree.volume(session, plot)
        way = tree.path(session, plot, plot.current)
        if way[-1].redo is not None:
            tree.go(plot, tree.path(session, plot, way[-1].redo))
        return tree.volume(session, plot)

    @reads
    def read(self, session: Session, owner: str, id: str) -> Volume:
        """Return a plot, with the passages beside its path."""
        return tree.volume(session, rows.find(session, owner, id))

    async def browse(
        self, owner: str, search: str = "", skip: int = 0, limit: int = 20, sort: Sort = "changed"
    ) -> tuple[list[Entry], int]:
        """Return the plots in an order, and the number of all plots found. Untouched ones are left out.

        search: words in the title or the text, in either case. skip, limit: the part of the list to return. A shelf
        does one search at a time, because each reads all of its texts.
        """
        async with self._searching.setdefault(owner, asyncio.Lock()) if search else nullcontext():
            return await self._browse(owner, bounds.line("search", search), max(skip, 0), max(limit, 1), sort)

    @reads
    def _browse(
        self, session: Session, owner: str, search: str, skip: int, limit: int, sort: Sort
    ) -> tuple[list[Entry], int]:
        found = listing.ids(session, owner, search, sort)
        return listing.entries(session, found[skip : skip + limit]), len(found)

    @reads
    def ids(self, session: Session, owner: str) -> list[str]:
        """Return the ids of all plots that `browse` lists, in its order."""
        return listing.ids(session, owner)

    @reads
    def entry(self, session: Session, owner: str, id: str) -> Entry:
        """Return a plot as `browse` lists it."""
        return listing.entry(rows.find(session, owner, id))

    @reads
    def illustrated(self, session: Session, owner: str, id: str) -> bool:
        """Return True if a plot has a picture in place of its drawn cover."""
        return rows.illustrated(session, rows.find(session, owner, id))

    @reads
    def outline(self, session: Session, owner: str, id: str, passage: int | None = None) -> Outline:
        """Return the part of a plot's tree around a passage, by default the current one."""
        return outline(session, rows.find(session, owner, id), passage)

    @reads
    def written(self, session: Session, owner: str, id: str) -> tuple[Written, Picture | None]:
        """Return a plot for its readers, and its picture, if it has one."""
        plot = rows.find(session, owner, id)
        return rows.written(plot), rows.picture(session, plot) if rows.illustrated(session, plot) else None

    @writes
    def rename(self, session: Session, owner: str, id: str, title: str) -> None:
        """Set the title of a plot. If it is empty, the first words of the text are the title again."""
        title = bounds.line("title", title)
        rows.find(session, owner, id).title = title

    @writes
    def branch(self, session: Session, owner: str, id: str, passage: int) -> Volume:
        """Create a plot from another plot's path to a passage. The passages beside the path stay behind.

        The first passages of a long path become one of the writer's, so that the new plot is not full, too.
        """
        plot = rows.find(session, owner, id)
        way = rows.way(session, plot, passage)
        texts = [(original.text, original.by, original.runs) for original in way[1:]]
        named = heading(plot.title, "".join(text for text, _, _ in texts))
        title = named.removesuffix(BRANCH)[: bounds.TITLE - len(BRANCH)] + BRANCH
        if (spare := len(texts) - bounds.PASSAGES // 2) > 0:
            first = [tree.value(original) for original in way[1 : spare + 2]]
            authors = joined(run for passage in first for run in passage.authors)
            texts = [("".join(passage.text for passage in first), "writer", authors), *texts[spare + 1 :]]
        return tree.fresh(*rows.new(session, owner, title, plot.genre, plot.steering, texts))

    @writes
    def delete(self, session: Session, owner: str, id: str) -> None:
        """Delete a plot with its passages, its picture and its link."""
        session.delete(rows.find(session, owner, id))

    @writes
    def share(self, session: Session, owner: str, id: str) -> str:
        """Return the token of the plot's link. Anyone with the link can read the plot's current text."""
        plot = rows.find(session, owner, id)
        plot.token = plot.token or secrets.token_urlsafe(16)
        return plot.token

    @writes
    def withdraw(self, session: Session, owner: str, id: str) -> None:
        """Withdraw the link to a plot. Its token is never used again."""
        rows.find(session, owner, id).token = None

    @reads
    def shared(self, session: Session, token: str) -> Written:
        """Return the plot with this link token."""
        return rows.written(rows.find_shared(session, token))

    @writes
    def illustrate(self, session: Session, owner: str, id: str, media_type: str, content: bytes, prompt: str) -> None:
        """Keep a picture with a plot, in place of an earlier one. content: the bytes of the file."""
        bounds.picture(media_type, content)
        prompt = bounds.text("prompt", prompt)
        plot = rows.find(session, owner, id)
        plot.cover += 1
        session.execute(delete(PictureRow).where(PictureRow.plot_id == plot.id))
        session.add(
            PictureRow(
                plot_id=plot.id, media_type=media_type, content=content, prompt=prompt, created=datetime.now(UTC)
            )
        )

    @writes
    def cover(self, session: Session, owner: str, id: str) -> None:
        """Give a plot another drawn cover, in place of its picture if it has one."""
        plot = rows.find(session, owner, id)
        plot.cover += 1
        session.execute(delete(PictureRow).where(PictureRow.plot_id == plot.id))

    @reads
    def picture(self, session: Session, owner: str, id: str) -> Picture:
        """Return the picture of a plot."""
        return rows.picture(session, rows.find(session, owner, id))

    @reads
    def shared_picture(self, session: Session, token: str) -> Picture:
        """Return the picture of the plot with this link token."""
        return rows.picture(session, rows.find_shared(session, token))


def _keep(
    session: Session,
    plot: PlotRow,
    text: str,
    by: By,
    known: Collection[str],
    closed: bool = False,
    caret: int | None = None,
    undone: bool = False,
) -> Volume:
    replaced = unknown(plot, known)
    if replaced is None:
        if not (undone and tree.unwind(session, plot, text)):
            tree.keep(session, plot, text, by, closed, caret)
    elif set(known) != {mark(text)}:
        tree.keep(session, plot, text, by, closed, caret)
    return tree.volume(session, plot, replaced)


def _steer(plot: PlotRow, genre: str | None, steering: Mapping[str, str] | None) -> None:
    if genre is not None:
        plot.genre = bounds.line("genre", genre)
    if steering is not None:
        plot.steering = plot.steering | bounds.steering(steering)
