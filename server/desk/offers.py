"""Offers: continuations that go to the shelf, for a writer without JavaScript to choose from."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from server.desk.continuations import Continuations
from server.shelf import Passage, ShelfError
from server.writing.plot import Plot

Keep = Callable[[Sequence[str]], Awaitable[list[Passage]]]
"""Keeps texts on the shelf, except empty ones."""


class Settled(Struct, frozen=True):
    """The end of an offer. numbers: of the passages on the shelf; None for a text that was not kept.

    failure: an explanation if something went wrong, else None.
    """

    numbers: list[int | None]
    failure: str | None


class Offer(Continuations[Settled]):
    """Continuations of one text. At their end, or when stopped, they go to the shelf, read or not."""

    def __init__(self, plots: Sequence[Plot], keep: Keep, bare: bool) -> None:
        self._keep = keep
        super().__init__(plots, bare)

    async def settled(self) -> Settled:
        try:
            kept = {passage.text: passage.number for passage in await self._keep(self.texts)}
        except ShelfError as error:
            return self.broken(error.message)
        return Settled([kept.get(text) for text in self.texts], self.failure)

    def broken(self, failure: str) -> Settled:
        return Settled([None] * len(self.texts), failure)


class Offers:
    """The offers in progress, one for each plot at most. It belongs to one event loop."""

    def __init__(self) -> None:
        self._writing: dict[str, Offer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, plot_id: str, offer: Offer) -> None:
        """Register an offer for a plot, until its end."""
        self._writing[plot_id] = offer
        task = asyncio.create_task(self._forget(plot_id, offer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, plot_id: str) -> None:
        """Stop the offer for a plot, if there is one, and return when it is kept."""
        if offer := self._writing.get(plot_id):
            offer.stop()
            await offer.feed.until_ended()

    async def close(self) -> None:
        """Wait for the end of all offers. Close the engine before."""
        await asyncio.gather(*self._tasks)

    async def _forget(self, plot_id: str, offer: Offer) -> None:
        await offer.feed.until_ended()
        if self._writing.get(plot_id) is offer:
            del self._writing[plot_id]
