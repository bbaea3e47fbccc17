"""A log that grows, for any number of readers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """Readers are positions in it, and hold nothing up. Belongs to one event loop.

    items: all that came so far. ended: whether no more will come.
    """

    def __init__(self) -> None:
        self.items: list[T] = []
        self.ended = False
        self._grown = asyncio.Event()

    def append(self, item: T, last: bool = False) -> None:
        """Adds what came; nothing follows the last."""
        self.items.append(item)
        self.ended = last
        # Wakes those who wait now; whoever comes later looks at the items first.
        self._grown.set()
        self._grown.clear()

    async def follow(self, after: int = 0, heartbeat: float | None = None) -> AsyncIterator[list[T]]:
        """What is behind the first `after`, as it comes, until the end; all that is there at once.

        An empty list whenever nothing has come for `heartbeat` seconds.
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
        """Returns when the last item is there."""
        while not self.ended:
            await self._grown.wait()
