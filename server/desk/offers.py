"""Continuations that are written side by side, for a writer to choose from."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from msgspec import Struct

from server.shelf import Passage, ShelfError
from server.writing.feed import Feed
from server.writing.plot import Plot

logger = logging.getLogger(__name__)

COUNT = 3
"""Continuations of an offer."""

TYPED = dict.fromkeys(range(32)) | {ord(character): character for character in "\t\n"} | {ord("\r"): "\n"}
"""Of control characters, those that a text area gives back: the form brings a text as it was offered."""

Keep = Callable[[Sequence[str]], Awaitable[list[Passage]]]
"""Keeps texts on the shelf, those that are not empty."""


class Piece(Struct, frozen=True):
    """Some more of a continuation. index: of which, from 0 on."""

    name: ClassVar[str] = "piece"
    index: int
    text: str


class Settled(Struct, frozen=True):
    """The end: what there is to choose. numbers: of the passages on the shelf, None for what could not be kept.

    failure: what to tell the writer where something went wrong, otherwise None.
    """

    name: ClassVar[str] = "settled"
    numbers: list[int | None]
    failure: str | None


class Offer:
    """Continuations of one text, written to their end or until they are stopped, and kept then, whoever reads.

    bare: whether their texts begin without the space that sets a word apart: the text ends with one, or is empty.
    feed: pieces, then `Settled`.
    """

    def __init__(self, plots: Sequence[Plot], keep: Keep, bare: bool) -> None:
        self.feed: Feed[Piece | Settled] = Feed()
        self.texts = [""] * len(plots)
        self._plots = plots
        self._keep = keep
        self._bare = bare
        self._task = asyncio.create_task(self._write())

    def stop(self) -> None:
        """Ends the writing; what was written by then is kept."""
        for plot in self._plots:
            plot.cancel()

    async def _write(self) -> None:
        numbers: list[int | None] = [None] * len(self.texts)
        failure = None
        try:
            async with asyncio.TaskGroup() as reading:  # where one fails the others end, too, and say nothing after
                for index, plot in enumerate(self._plots):
                    reading.create_task(self._read(index, plot))
            failure = next((plot.failure for plot in self._plots if plot.failure), None)
            kept = {passage.text: passage.number for passage in await self._keep(self.texts)}
            numbers = [kept.get(text) for text in self.texts]
        except ShelfError as error:
            failure = error.message
        except Exception:  # readers wait for an end
            logger.exception("An offer failed")
            failure = "Something went wrong here."
        self.feed.append(Settled(numbers, failure), last=True)

    async def _read(self, index: int, plot: Plot) -> None:
        async for written in plot:
            text = written.translate(TYPED)
            piece = text.lstrip() if self._bare and not self.texts[index] else text
            if piece:
                self.texts[index] += piece
                self.feed.append(Piece(index, piece))


class Offers:
    """The offers that are being written, one for each plot at most. Belongs to one event loop."""

    def __init__(self) -> None:
        self._writing: dict[str, Offer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, plot_id: str, offer: Offer) -> None:
        """Takes care of an offer for a plot on a shelf, until it has ended."""
        self._writing[plot_id] = offer
        task = asyncio.create_task(self._forget(plot_id, offer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, plot_id: str) -> None:
        """Stops what is being written for a plot, if something is, and returns when it is kept."""
        if offer := self._writing.get(plot_id):
            offer.stop()
            await offer.feed.until_ended()

    async def close(self) -> None:
        """Returns when all offers have ended: close the engine before."""
        await asyncio.gather(*self._tasks)

    async def _forget(self, plot_id: str, offer: Offer) -> None:
        await offer.feed.until_ended()
        if self._writing.get(plot_id) is offer:
            del self._writing[plot_id]
