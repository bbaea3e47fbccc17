"""One transaction for all that comes at about the same time, because each one waits for the disk."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Change = TypeVar("Change")
Result = TypeVar("Result")


class SharedTransaction(Generic[Change, Result]):
    """Gathers changes for a transaction, and meanwhile for the next one. It belongs to one event loop.

    Args:
        make: makes changes in one transaction. Its result, or its error, is that of each change.
        seconds: returns how long the first change waits for others.
        enough: number of changes for which the transaction begins at once.
    """

    def __init__(
        self, make: Callable[[Sequence[Change]], Awaitable[Result]], seconds: Callable[[], float], enough: int
    ) -> None:
        self._make = make
        self._seconds = seconds
        self._enough = enough
        self._gathered = asyncio.Event()
        self._turn = asyncio.Lock()
        self._waiting: list[Change] = []
        self._next: asyncio.Task[Result] | None = None

    async def make(self, change: Change) -> Result:
        """Make a change with others, and return their result. It is made even if the caller is cancelled."""
        self._waiting.append(change)
        if len(self._waiting) >= self._enough:
            self._gathered.set()
        if self._next is None:
            self._next = asyncio.create_task(self._make_all())
        return await asyncio.shield(self._next)

    async def _make_all(self) -> Result:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gathered.wait(), self._seconds())
        async with self._turn:
            self._gathered.clear()
            changes, self._waiting, self._next = self._waiting, [], None
            return await self._make(changes)
