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
        self._grown = asyncio.Event()

    def append(self, item: T, last: bool = False) -> None:
        """Add an item. last: nothing follows it."""
        self.items.append(item)
        self.ended = last
        # Wake the readers who wait now. Later ones look at the items first.
        self._grown.set()
        self._grown.clear()

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
                try:
                    async with asyncio.timeout(heartbeat):
                        await self._grown.wait()
                except TimeoutError:
                    yield []

    async def until_ended(self) -> None:
        """Wait for the last item."""
        while not self.ended:
            await self._grown.wait()
