"""Offers: several continuations at once, for a writer to choose from."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from msgspec import Struct

from server.http.errors import FAILED
from server.shelf import Passage, ShelfError
from server.writing.feed import Feed
from server.writing.plot import Plot

logger = logging.getLogger(__name__)

COUNT = 3
"""Continuations of an offer."""

TYPED = dict.fromkeys(range(32)) | {ord(character): character for character in "\t\n"} | {ord("\r"): "\n"}
"""Drops control characters, except those of a text area: the form returns the text unchanged."""

Keep = Callable[[Sequence[str]], Awaitable[list[Passage]]]
"""Keeps texts on the shelf, except empty ones."""


class Piece(Struct, frozen=True):
    """A piece of the continuation `index`, from 0."""

    name: ClassVar[str] = "piece"
    index: int
    text: str


class Settled(Struct, frozen=True):
    """The end of an offer. numbers: of the passages on the shelf; None for a text that was not kept.

    failure: an explanation if something went wrong, else None.
    """

    name: ClassVar[str] = "settled"
    numbers: list[int | None]
    failure: str | None


class Offer:
    """Continuations of one text. At their end, or when stopped, they go to the shelf, read or not.

    bare: begin the continuations without a space, because the text ends with one or is empty. feed: pieces, then
    `Settled`.
    """

    def __init__(self, plots: Sequence[Plot], keep: Keep, bare: bool) -> None:
        self.feed: Feed[Piece | Settled] = Feed()
        self.texts = [""] * len(plots)
        self._plots = plots
        self._keep = keep
        self._bare = bare
        self._task = asyncio.create_task(self._write())

    def stop(self) -> None:
        """Stop the continuations. Their text so far is kept."""
        for plot in self._plots:
            plot.cancel()

    async def _write(self) -> None:
        numbers: list[int | None] = [None] * len(self.texts)
        failure = None
        try:
            async with asyncio.TaskGroup() as reading:  # if one fails, the others stop too
                for index, plot in enumerate(self._plots):
                    reading.create_task(self._read(index, plot))
            failure = next((plot.failure for plot in self._plots if plot.failure), None)
            kept = {passage.text: passage.number for passage in await self._keep(self.texts)}
            numbers = [kept.get(text) for text in self.texts]
        except ShelfError as error:
            failure = error.message
        except Exception:  # the readers wait for an end
            logger.exception("An offer failed")
            failure = FAILED
        self.feed.append(Settled(numbers, failure), last=True)

    async def _read(self, index: int, plot: Plot) -> None:
        async for written in plot:
            text = written.translate(TYPED)
            piece = text.lstrip() if self._bare and not self.texts[index] else text
            if piece:
                self.texts[index] += piece
                self.feed.append(Piece(index, piece))


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
