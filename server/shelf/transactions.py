"""Database transactions. Each is a function of a session, and runs on one thread throughout.

The drivers' own asynchronous interfaces cost more. With SQLite, each statement goes to a thread and back several times,
which takes a busy server longer than all its other work in the statement.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from server.shelf.database import BUSY, WRITES

Result = TypeVar("Result")

THREADS = 5
"""The number of reading transactions at once, and of writing ones."""


class Transactions:
    """Runs transactions. Once begun, each is completed, even if its caller is cancelled."""

    def __init__(self, engine: Engine) -> None:
        self._reads = sessionmaker(engine, expire_on_commit=False)
        self._writes = sessionmaker(engine.execution_options(**{WRITES: True}), expire_on_commit=False)
        self._reading = ThreadPoolExecutor(THREADS, "plotify-shelf-reads")
        # SQLite allows one writer. On one thread they queue; on several they would poll.
        writers = 1 if engine.dialect.name == "sqlite" else THREADS
        self._writing = ThreadPoolExecutor(writers, "plotify-shelf-writes")

    async def run(self, transaction: Callable[[Session], Result], *, writes: bool) -> Result:
        """Return the result of a transaction.

        Its changes are on the disk then; an exception undoes them. Raises OSError if it cannot begin. If it has not
        begun after `BUSY` seconds, it never runs.
        """

        def attempt() -> Result:
            with (self._writes if writes else self._reads).begin() as session:
                return transaction(session)

        def run() -> Result:
            try:
                return attempt()
            except IntegrityError:  # another process has just made the same row: the transaction finds it now
                return attempt()

        try:
            running = (self._writing if writes else self._reading).submit(run)
        except RuntimeError as error:
            raise OSError("it is closed") from error
        result = asyncio.wrap_future(running)
        try:
            async with asyncio.timeout(BUSY):
                return await asyncio.shield(result)
        except TimeoutError:
            if running.cancel():
                raise TimeoutError("too many requests are waiting for it") from None
            return await asyncio.shield(result)

    async def close(self) -> None:
        """Wait until the running transactions have ended."""
        for threads in (self._reading, self._writing):
            await asyncio.to_thread(threads.shutdown)
