"""A growing log for any number of readers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """A growing log. Each reader is a position in it, and delays nobody. It belongs to one event loop.

    items: everything so far. ended: nothing more will come.
    """

    def __init__(self) -> None:
        self.items: list[T] = []
        self.ended = False
        self._waiters = set[asyncio.Future[None]]()

    def append(self, item: T, last: bool = False) -> None:
        """Add an item. last: nothing follows it."""
        self.items.append(item)
        self.ended = last
        self._wake()

    def close(self) -> None:
        """End the log where it is."""
        self.ended = True
        self._wake()

    async def follow(self, after: int = 0, heartbeat: float | None = None) -> AsyncIterator[list[T]]:
        """Yield the items after the first `after` until the end, all that are ready in one list.

        Yield an empty list after `heartbeat` seconds without an item.
        """
        while True:
            if ready := self.items[after:]:
                after += len(ready)
                yield ready
            elif self.ended:
                return
            else:
                await self._growth(heartbeat)
                if len(self.items) == after and not self.ended:
                    yield []

    async def until_ended(self) -> None:
        """Wait for the last item."""
        while not self.ended:
            await self._growth()

    async def _growth(self, seconds: float | None = None) -> None:
        """Wait for the next item, for some seconds at most."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiters.add(waiter)
        timer = None if seconds is None else loop.call_later(seconds, _resolve, waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        """Wake the readers who wait now."""
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            _resolve(waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
