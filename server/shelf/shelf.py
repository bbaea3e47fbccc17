"""Plots on their writers' shelves."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from server.shelf import bounds, rows, tree
from server.shelf.database import WRITES, opened, shown, usable
from server.shelf.models import PassageRow, PictureRow, PlotRow, SecretRow
from server.shelf.volume import By, Entry, Passage, Picture, Volume, Written, heading

BRANCH = " (branch)"
OPENING = 300
"""Characters of a text that a list shows."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")
Method = Callable[Concatenate["Shelf", Asked], Coroutine[Any, Any, Answer]]


def transaction(method: Method[Asked, Answer]) -> Method[Asked, Answer]:
    """Has a method come to its end though its caller is cancelled, as readers are who leave.

    SQLAlchemy's connections to SQLite do not survive that a step of theirs is cancelled.
    """

    @wraps(method)
    async def run(shelf: "Shelf", /, *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        task = asyncio.create_task(method(shelf, *args, **kwargs))
        shelf.under_way.add(task)
        task.add_done_callback(shelf.under_way.discard)
        with usable(shelf.name):
            return await asyncio.shield(task)

    return run


class Shelf:
    """Keeps plots for their owners. `async with Shelf.open(settings.database) as shelf`.

    Each method is a transaction of its own: what it returned for is on the disk, and an exception has changed nothing.
    Several processes may use one database at once. owner: the id of a shelf, which whoever calls must have verified.
    Methods raise NotOnShelf for a plot, a passage or a picture that is not there or is another's, NotKept for a text
    that is too long or cannot be stored, ShelfFull where there are too many, and ShelfUnusable when the database fails.

    name: the database, as operators may see it. under_way: the transactions that are not over yet.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.name = shown(engine.url)
        self.under_way: set[asyncio.Task[Any]] = set()
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    @asynccontextmanager
    async def open(cls, database: str) -> AsyncIterator[Self]:
        """A shelf in a database, whose tables are made or brought up to date before.

        database: a URL, a path, or empty for a file in the user's data folder. Raises ShelfUnusable.
        """
        async with opened(database) as engine:
            shelf = cls(engine)
            try:
                yield shelf
            finally:
                await asyncio.gather(*shelf.under_way, return_exceptions=True)

    @transaction
    async def secret(self) -> bytes:
        """What cookies are signed with: the same for all processes that use the database."""
        async with self._sessions.begin() as session:
            return (await session.get_one(SecretRow, 1)).secret

    @transaction
    async def begin(self, owner: str, text: str = "", by: By = "writer", title: str = "", genre: str = "") -> Volume:
        """A new plot with this text; its first words are the title where none is given."""
        text = bounds.text("text", text)
        async with self._writing() as session:
            plot = await rows.new(session, owner, bounds.line("title", title), bounds.line("genre", genre))
            if text:
                blank = await tree.path(session, plot, 0)
                tree.go(plot, [*blank, await tree.grow(session, plot, 0, text, by)])
            return await tree.volume(session, plot)

    @transaction
    async def keep(self, owner: str, id: str, text: str, by: By) -> Passage:
        """Keeps the text as it is now, and returns the passage that it ends with.

        by: whose words the new part is. What follows the longest beginning that consists of whole passages becomes a
        passage; those that it replaces stay in the tree.
        """
        text = bounds.text("text", text)
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            way, length = await tree.beginning(session, plot, text)
            if length < len(text):
                stood, parent = plot.current, way[-1].number
                revises = stood if stood != parent else None
                way.append(await tree.grow(session, plot, parent, text[length:], by, revises))
            if way[-1].number != plot.current:
                tree.end(plot, way, text)
            return tree.value(way[-1])

    @transaction
    async def offer(self, owner: str, id: str, after: int, texts: Sequence[str]) -> list[Passage]:
        """Keeps what the model offers after a passage, all or none of it; the text stays as it is."""
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            length = sum(len(passage.text) for passage in await rows.way(session, plot, after))
            offered = []
            for text in texts:
                if text := bounds.text("text", text, bounds.TEXT - length):
                    offered.append(tree.value(await tree.grow(session, plot, after, text, "model")))
            return offered

    @transaction
    async def choose(self, owner: str, id: str, passage: int) -> Volume:
        """Has the text end with any passage of the plot."""
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            tree.go(plot, await rows.way(session, plot, passage))
            return await tree.volume(session, plot)

    @transaction
    async def undo(self, owner: str, id: str) -> Volume:
        """Goes back to the text before it grew, or was edited, the last time; on the blank page it stays there."""
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            undone = await session.get_one(PassageRow, (plot.id, plot.current))
            if (number := tree.before(undone)) is not None:
                way = await tree.path(session, plot, number)
                tree.go(plot, way)
                way[-1].redo = undone.number
            return await tree.volume(session, plot)

    @transaction
    async def redo(self, owner: str, id: str) -> Volume:
        """Goes on to what followed when it was last visited; where nothing did, it stays."""
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            way = await tree.path(session, plot, plot.current)
            if way[-1].redo is not None:
                tree.go(plot, await tree.path(session, plot, way[-1].redo))
            return await tree.volume(session, plot)

    @transaction
    async def read(self, owner: str, id: str) -> Volume:
        """A plot, with what was tried beside its path."""
        async with self._sessions.begin() as session:
            return await tree.volume(session, await rows.find(session, owner, id))

    @transaction
    async def browse(self, owner: str, search: str = "", skip: int = 0, limit: int = 20) -> tuple[list[Entry], int]:
        """The plots that changed last, and how many there are in all.

        search: what the title or the text has in it, in letters of either case. skip, limit: which part of the list.
        """
        search = bounds.line("search", search)
        found = [PlotRow.owner == owner]
        if search:
            found.append(or_(*(part.icontains(search, autoescape=True) for part in (PlotRow.title, PlotRow.text))))
        opening = func.substr(PlotRow.text, 1, OPENING)
        listed = (
            select(PlotRow.id, PlotRow.title, PlotRow.genre, opening, PlotRow.token, PlotRow.created, PlotRow.changed)
            .where(*found)
            .order_by(PlotRow.changed.desc(), PlotRow.id)
            .offset(min(max(skip, 0), bounds.PLOTS))
            .limit(min(max(limit, 1), 100))
        )
        async with self._sessions.begin() as session:
            entries = [
                Entry(id, heading(title, text), genre, text, token, created, changed)
                for id, title, genre, text, token, created, changed in await session.execute(listed)
            ]
            return entries, await rows.count(session, *found)

    @transaction
    async def rename(self, owner: str, id: str, title: str) -> None:
        """Gives a plot a title; with an empty one, the first words of its text are the title again."""
        title = bounds.line("title", title)
        async with self._writing() as session:
            (await rows.find(session, owner, id)).title = title

    @transaction
    async def set_genre(self, owner: str, id: str, genre: str) -> None:
        """Says of what genre a plot is; empty for none."""
        genre = bounds.line("genre", genre)
        async with self._writing() as session:
            (await rows.find(session, owner, id)).genre = genre

    @transaction
    async def branch(self, owner: str, id: str, passage: int) -> Volume:
        """A new plot that begins as another one does up to a passage; what was tried beside stays there."""
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            way = await rows.way(session, plot, passage)
            title = heading(plot.title, plot.text).removesuffix(BRANCH)[: bounds.TITLE - len(BRANCH)] + BRANCH
            branch = await rows.new(session, owner, title, plot.genre)
            copies = list(await tree.path(session, branch, 0))
            for original in way[1:]:
                copies.append(await tree.grow(session, branch, copies[-1].number, original.text, original.by))
            tree.go(branch, copies)
            return await tree.volume(session, branch)

    @transaction
    async def delete(self, owner: str, id: str) -> None:
        """Deletes a plot with all its passages and its picture; it is shared no longer."""
        async with self._writing() as session:
            await session.delete(await rows.find(session, owner, id))

    @transaction
    async def share(self, owner: str, id: str) -> str:
        """The token by which anybody may read a plot, as it is whenever they do."""
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            plot.token = plot.token or secrets.token_urlsafe(16)
            return plot.token

    @transaction
    async def withdraw(self, owner: str, id: str) -> None:
        """Shares a plot no longer; its token is never given again."""
        async with self._writing() as session:
            (await rows.find(session, owner, id)).token = None

    @transaction
    async def shared(self, token: str) -> Written:
        """A plot that is shared by this token."""
        async with self._sessions.begin() as session:
            plot = await rows.find_shared(session, token)
            return Written(
                title=heading(plot.title, plot.text),
                genre=plot.genre,
                text=plot.text,
                created=plot.created,
                changed=plot.changed,
            )

    @transaction
    async def illustrate(self, owner: str, id: str, media_type: str, content: bytes, prompt: str) -> None:
        """Keeps a picture with a plot, in place of the one that it had. content: the bytes of the file."""
        bounds.picture(media_type, content)
        prompt = bounds.text("prompt", prompt)
        async with self._writing() as session:
            plot = await rows.find(session, owner, id)
            await session.execute(delete(PictureRow).where(PictureRow.plot_id == plot.id))
            session.add(
                PictureRow(
                    plot_id=plot.id, media_type=media_type, content=content, prompt=prompt, created=datetime.now(UTC)
                )
            )

    @transaction
    async def picture(self, owner: str, id: str) -> Picture:
        """The picture of a plot."""
        async with self._sessions.begin() as session:
            return await rows.picture(session, await rows.find(session, owner, id))

    @transaction
    async def shared_picture(self, token: str) -> Picture:
        """The picture of a plot that is shared by this token."""
        async with self._sessions.begin() as session:
            return await rows.picture(session, await rows.find_shared(session, token))

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions.begin() as session:
            await session.connection(execution_options={WRITES: True})
            yield session
