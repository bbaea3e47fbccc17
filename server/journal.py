"""What has been written of a plot, event by event, for any number of readers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from server.engine import FinishReason
from server.plot import Plot
from server.usage import Usage

logger = logging.getLogger(__name__)


class Token(Struct, frozen=True):
    """The next piece of the text: what a token has made whole of it."""

    name: ClassVar[Literal["token"]] = "token"
    text: Annotated[str, Meta(description="Never empty.")]


class Done(Struct, frozen=True):
    """The end."""

    name: ClassVar[Literal["done"]] = "done"
    finish_reason: FinishReason
    usage: Usage
    seed: Annotated[int, Meta(description="What gives the same plot again.")]


class Failed(Struct, frozen=True):
    """The end of a plot that could not be finished."""

    name: ClassVar[Literal["error"]] = "error"
    message: Annotated[str, Meta(description="What to tell the reader.")]


Event = Token | Done | Failed


class Journal:
    """The one log of a plot's events; readers are positions in it, and hold nothing up. Belongs to one event loop.

    id: what it is found by. events: the tokens so far, then the end: at most one more than the plot may have tokens.
    end: the last event, once it is there. readers: how many follow it.
    """

    def __init__(self, id: str, plot: Plot) -> None:
        self.id = id
        self.plot = plot
        self.events: list[Event] = []
        self.end: Done | Failed | None = None
        self.readers = 0
        self._grown = asyncio.Event()

    @property
    def text(self) -> str:
        """What is written so far."""
        return "".join(event.text for event in self.events if isinstance(event, Token))

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        read, written = self.plot.prompt_tokens, self.plot.tokens
        return Usage(read, written, read + written)

    async def write(self) -> None:
        """Takes the plot down to its end, whoever reads."""
        try:
            async for text in self.plot:
                self._append(Token(text))
        except Exception:  # readers wait for an end
            logger.exception("A plot failed")
        reason = self.plot.finish_reason
        if reason is None:
            self.end = Failed(self.plot.failure or "The plot broke off: something went wrong here.")
        else:
            self.end = Done(reason, self.usage, self.plot.seed)
        self._append(self.end)

    async def follow(self, after: int, heartbeat: float) -> AsyncIterator[list[Event]]:
        """The events behind the first `after`, as they come, until the end; all that are there at once.

        An empty list whenever nothing has come for `heartbeat` seconds.
        """
        while True:
            if ready := self.events[after:]:
                after += len(ready)
                yield ready
            elif self.end is not None:
                return
            else:
                try:
                    async with asyncio.timeout(heartbeat):
                        await self._grown.wait()
                except TimeoutError:
                    yield []

    async def until_ended(self) -> None:
        """Returns when the last event is there."""
        while self.end is None:
            await self._grown.wait()

    def _append(self, event: Event) -> None:
        self.events.append(event)
        # Wakes those who wait now; whoever comes later looks at the events first.
        self._grown.set()
        self._grown.clear()
