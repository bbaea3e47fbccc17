"""The journal of a plot: its events, for any number of readers."""

import asyncio
import logging
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from server.engine import FinishReason
from server.writing.feed import Feed
from server.writing.plot import Plot
from server.writing.usage import Usage

logger = logging.getLogger(__name__)


Seed = Annotated[int, Meta(description="The same seed gives the same plot.")]


class Token(Struct, frozen=True):
    """The next piece of the text: the characters up to the end of a token."""

    name: ClassVar[Literal["token"]] = "token"
    text: Annotated[str, Meta(description="Never empty.")]


class Done(Struct, frozen=True):
    """The end of a plot."""

    name: ClassVar[Literal["done"]] = "done"
    finish_reason: FinishReason
    usage: Usage
    seed: Seed


class Failed(Struct, frozen=True):
    """The end of a plot after a failure."""

    name: ClassVar[Literal["error"]] = "error"
    message: Annotated[str, Meta(description="An explanation for the reader.")]


Event = Token | Done | Failed


class Journal:
    """The log of a plot's events. It belongs to one event loop.

    feed: the tokens so far, then the end. end: the last event; None before. readers: how many follow the plot. task:
    runs `write`.
    """

    task: asyncio.Task[None]

    def __init__(self, id: str, plot: Plot) -> None:
        self.id = id
        self.plot = plot
        self.feed: Feed[Event] = Feed()
        self.end: Done | Failed | None = None
        self.readers = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(event.text for event in self.feed.items if isinstance(event, Token))

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        read, written = self.plot.prompt_tokens, self.plot.tokens
        return Usage(read, written, read + written)

    async def write(self) -> None:
        """Write the events of the plot until its end, with or without readers."""
        try:
            async for text in self.plot:
                self.feed.append(Token(text))
        except Exception:  # the readers wait for an end
            logger.exception("A plot failed")
        reason = self.plot.finish_reason
        if reason is None:
            self.end = Failed(self.plot.failure or "The plot broke off: something went wrong in the server.")
        else:
            self.end = Done(reason, self.usage, self.plot.seed)
        self.feed.append(self.end, last=True)
