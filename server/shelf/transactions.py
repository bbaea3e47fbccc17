"""Transactions of a database. Each is a function of a session, which a thread runs from its beginning to its end.

Not the drivers' own asynchronous way: with SQLite each statement of that goes to a thread and back several times, which
takes more of a busy server than all that it does between.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from server.shelf.database import BUSY, WRITES

Result = TypeVar("Result")

THREADS = 5
"""Transactions at once, of those that read and of those that write."""


class Transactions:
    """Runs them, and has each come to its end, though whoever waits for it is cancelled, as readers are who leave."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessionmaker(engine, expire_on_commit=False)
        self._reading = ThreadPoolExecutor(THREADS, "plotify-shelf-reads")
        # SQLite lets one write at a time: in one thread they take turns, in several they would poll for theirs.
        writers = 1 if engine.dialect.name == "sqlite" else THREADS
        self._writing = ThreadPoolExecutor(writers, "plotify-shelf-writes")

    async def read(self, transaction: Callable[[Session], Result]) -> Result:
        """What a transaction returns that changes nothing. Raises OSError when it cannot begin."""
        return await self._run(self._reading, transaction)

    async def write(self, transaction: Callable[[Session], Result]) -> Result:
        """What a transaction returns, once its changes are on the disk; with an exception there are none.

        Raises OSError when it cannot begin.
        """

        def run(session: Session) -> Result:
            session.connection(execution_options={WRITES: True})
            return transaction(session)

        return await self._run(self._writing, run)

    async def close(self) -> None:
        """Returns when those under way have come to their end."""
        for threads in (self._reading, self._writing):
            await asyncio.to_thread(threads.shutdown)

    async def _run(self, threads: ThreadPoolExecutor, transaction: Callable[[Session], Result]) -> Result:
        """What it returns. Where its turn does not come within `BUSY` seconds it is never run."""

        def run() -> Result:
            with self._sessions.begin() as session:
                return transaction(session)

        try:
            running = threads.submit(run)
        except RuntimeError as error:
            raise OSError("it is closed") from error
        result = asyncio.wrap_future(running)
        try:
            async with asyncio.timeout(BUSY):
                return await asyncio.shield(result)
        except TimeoutError:
            if running.cancel():
                raise TimeoutError("too many wait for it") from None
            return await asyncio.shield(result)
