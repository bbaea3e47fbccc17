"""The records of plots: what each is generated from again by any server with the same database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self, TypeVar, cast

import msgspec
from sqlalchemy import Delete, delete, select
from sqlalchemy.orm import Session

from server.errors import PlotifyError
from server.plots.changes import Begun, BegunAgain, Change, Ended, make, record_endings
from server.plots.journal import Ending, EndReason
from server.plots.place import START, Place
from server.plots.shared_transaction import SharedTransaction
from server.shelf import Shelf, ShelfUnusable
from server.shelf.models import AttemptRow, RecordRow
from server.shelf.presence import presence
from server.writing.brief import Brief

SWEEP = 60.0
"""Seconds between deletions of old records."""

SOON, FOR_EACH, AT_MOST = 0.005, 0.0015, 0.1
"""Seconds for which a beginning waits for others: at least, for each plot in progress, at most.

The more plots are in progress, the longer the engine takes for the first text, which nobody can read before. A
transaction takes 0.7 ms of a core, whether it has one plot or ten.
"""

LATER = 1.0
"""Seconds for which an end waits for others if the seed decides about it.

Nobody waits for its record. A server that dies meanwhile counts as one crash of the plot.
"""

ENOUGH = 16
"""Changes that wait no longer: their transaction begins."""

STOPPED = Ending("cancelled", START)
"""The end of a plot that was stopped on a server without it. One that generates it moves the end."""


class RecordsFail(PlotifyError):
    """The database fails, so a plot can be neither recorded nor found."""

    status = 503

    def __init__(self) -> None:
        super().__init__("The server cannot reach its records of plots just now. Try again in 5 seconds.")

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


Result = TypeVar("Result")


@dataclass(frozen=True)
class Record:
    """The ingredients of a plot. client: its client's name. brief: with its seed. bundle: its digest.

    crashes: how often a server died while it generated the plot. ending: how it ended; None if it has not.
    """

    id: str
    client: str
    brief: Brief
    prompt_tokens: int
    model: str
    bundle: str
    precision: str
    crashes: int = 0
    ending: Ending | None = None


class Records:
    """Keeps the records of plots in the database of the shelf. It belongs to one event loop.

    Methods raise RecordsFail when the database fails. Changes that come at the same time are one transaction, because
    each transaction waits for the disk.

    Args:
        seconds: the age at which a record is deleted.
        ttl: seconds after its end at which it is deleted.
    """

    def __init__(self, shelf: Shelf, seconds: int, ttl: int) -> None:
        self._shelf = shelf
        self._presence = presence(shelf.engine)
        self._seconds = timedelta(seconds=seconds)
        self._ttl = timedelta(seconds=ttl)
        self._soon = SharedTransaction(self._make, self._soon_seconds, ENOUGH)
        self._later = SharedTransaction(self._make, lambda: LATER, ENOUGH)
        self._in_progress = set[str]()

    @classmethod
    @asynccontextmanager
    async def open(cls, shelf: Shelf, seconds: int, ttl: int) -> AsyncIterator[Self]:
        """Tell the servers with the same database that this one is alive, until the end."""
        records = cls(shelf, seconds, ttl)
        await asyncio.to_thread(records._presence.hold)
        sweeping = asyncio.create_task(records._sweep())
        try:
            yield records
        finally:
            sweeping.cancel()
            await asyncio.to_thread(records._presence.close)

    async def add(self, record: Record) -> None:
        """Record a plot that this server generates."""
        values = {
            "client": record.client,
            "brief": msgspec.to_builtins(record.brief),
            "prompt_tokens": record.prompt_tokens,
            "model": record.model,
            "bundle": record.bundle,
            "precision": record.precision,
            "crashes": 0,
            "forget": datetime.now(UTC) + self._seconds,
        }
        await self._begin(Begun(record.id, values))

    async def find(self, id: str) -> Record | None:
        """Return the record of a plot. Count the crash of each server that died while it generated the plot."""

        def find(session: Session) -> Record | None:
            row = session.get(RecordRow, id, with_for_update=True)
            if row is None or row.forget < datetime.now(UTC):
                return None
            for attempt in session.scalars(select(AttemptRow).where(AttemptRow.plot_id == id)).all():
                if not self._presence.alive(session, attempt.server):
                    session.delete(attempt)
                    row.crashes += 1
            return Record(
                row.id,
                row.client,
                msgspec.convert(row.brief, Brief),
                row.prompt_tokens,
                row.model,
                row.bundle,
                row.precision,
                row.crashes,
                _ending(row),
            )

        return await self._run(find, writes=True)

    async def attempt(self, id: str) -> None:
        """Record that this server generates a plot from now on."""
        await self._begin(BegunAgain(id))

    async def crashed(self, id: str) -> int:
        """Count a failure of the engine while it generated a plot, and return the number of all of them."""

        def crashed(session: Session) -> int:
            row = session.get(RecordRow, id, with_for_update=True)
            if row is None:
                return 0
            row.crashes += 1
            return row.crashes

        return await self._run(crashed, writes=True)

    async def end(self, id: str, ending: Ending | None, left: bool = False) -> bool:
        """Record that this server generates a plot no more, and the end if no other one went further.

        ending: None if it only ends here. left: it had no reader any more; while another server generates it, that is
        no end. Return True if it has ended.
        """
        self._in_progress.discard(id)
        shared = self._later if ending is not None and ending.of_itself else self._soon
        return id not in await shared.make(Ended(id, ending, left))

    async def stop(self, id: str) -> bool:
        """Record that a plot shall end wherever it is generated. Return False if there is none."""

        def stop(session: Session) -> bool:
            record_endings(session, {id: STOPPED}, self._ttl)
            forget = session.scalar(select(RecordRow.forget).where(RecordRow.id == id))
            return forget is not None and forget >= datetime.now(UTC)

        return await self._run(stop, writes=True)

    async def ended(self) -> dict[str, Ending]:
        """Return the ends of plots that this server still generates."""

        def ended(session: Session) -> dict[str, Ending]:
            self._presence.hold()
            mine = AttemptRow.server == self._presence.number
            rows = session.scalars(select(RecordRow).join(AttemptRow).where(mine, RecordRow.ended.is_not(None)))
            return {row.id: ending for row in rows if (ending := _ending(row)) is not None}

        return await self._run(ended, writes=False)

    async def leave(self) -> None:
        """Record that this server generates nothing any more, and did not die of it."""
        mine = delete(AttemptRow).where(AttemptRow.server == self._presence.number)
        await self._run(partial(_execute, mine), writes=True)

    async def _begin(self, change: Begun | BegunAgain) -> None:
        self._in_progress.add(change.id)
        try:
            await self._soon.make(change)
        except BaseException:
            self._in_progress.discard(change.id)
            raise

    def _soon_seconds(self) -> float:
        return min(SOON + FOR_EACH * len(self._in_progress), AT_MOST)

    async def _make(self, changes: Sequence[Change]) -> set[str]:
        """Make changes in one transaction. See `make` for the result."""
        return await self._run(partial(make, changes=changes, presence=self._presence, ttl=self._ttl), writes=True)

    async def _run(self, transaction: Callable[[Session], Result], *, writes: bool) -> Result:
        try:
            with self._shelf.health.watching():
                return await self._shelf.transactions.run(transaction, writes=writes)
        except ShelfUnusable as error:
            raise RecordsFail from error

    async def _sweep(self) -> None:
        while True:
            old = delete(RecordRow).where(RecordRow.forget < datetime.now(UTC))
            with suppress(RecordsFail):  # it is logged, and the next sweep may work
                await self._run(partial(_execute, old), writes=True)
            await asyncio.sleep(SWEEP)


def _execute(statement: Delete, session: Session) -> None:
    session.execute(statement)


def _ending(row: RecordRow) -> Ending | None:
    if row.ended is None or row.tokens is None or row.digest is None:
        return None
    return Ending(cast(EndReason, row.ended), Place(row.tokens, row.digest), row.message)
