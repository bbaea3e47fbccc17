"""Several continuations at once, for a writer to choose from."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from msgspec import Struct

from server.engine import AnyEngine
from server.http.errors import FAILED
from server.writing.brief import Brief
from server.writing.feed import Feed
from server.writing.plot import Plot

logger = logging.getLogger(__name__)

COUNT = 3
"""Continuations at once."""

TYPED = dict.fromkeys(range(32)) | {ord(character): character for character in "\t\n"} | {ord("\r"): "\n"}
"""Drops control characters, except those of a text area: the form returns the text unchanged."""

End = TypeVar("End")


def at_once(engine: AnyEngine, brief: Brief, wanted: int) -> int:
    """Return the number of texts of a brief to have written at once: from one to `wanted`."""
    config = engine.config
    return max(min(wanted, config.rows // brief.rows, config.per_client or wanted), 1)


class Piece(Struct, frozen=True):
    """A piece of the continuation `index`, from 0."""

    name: ClassVar[str] = "piece"
    index: int
    text: str


class Continuations(Generic[End]):
    """Continuations of one text, written side by side.

    bare: begin them without a space, because the text ends with one or is empty. feed: pieces, then the end.
    """

    def __init__(self, plots: Sequence[Plot], bare: bool) -> None:
        self.feed: Feed[Piece | End] = Feed()
        self.texts = [""] * len(plots)
        self.plots = plots
        self._bare = bare
        self._task = asyncio.create_task(self._write())

    def stop(self) -> None:
        """Stop the continuations. Their text so far stays."""
        for plot in self.plots:
            plot.cancel()

    @property
    def failure(self) -> str | None:
        """An explanation if the engine failed, else None."""
        return next((plot.failure for plot in self.plots if plot.failure), None)

    def grown(self, index: int, piece: str) -> None:
        """Add a piece of the continuation `index` to the feed, as it is written."""
        self.feed.append(Piece(index, piece))

    @abstractmethod
    async def settled(self) -> End:
        """Return the last item of the feed, once all is written."""

    @abstractmethod
    def broken(self, failure: str) -> End:
        """Return the last item of the feed after a failure, with its explanation."""

    async def _write(self) -> None:
        try:
            async with asyncio.TaskGroup() as reading:  # if one fails, the others stop too
                for index, plot in enumerate(self.plots):
                    reading.create_task(self._read(index, plot))
            last = await self.settled()
        except Exception:  # the readers wait for an end
            logger.exception("Continuations failed")
            last = self.broken(FAILED)
        self.feed.append(last, last=True)

    async def _read(self, index: int, plot: Plot) -> None:
        async for written in plot:
            text = written.translate(TYPED)
            piece = text.lstrip() if self._bare and not self.texts[index] else text
            if piece:
                self.texts[index] += piece
                self.grown(index, piece)
