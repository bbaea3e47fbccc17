"""What has been written of a plot, event by event, for any number of readers."""

import logging
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from server.engine import FinishReason
from server.writing.feed import Feed
from server.writing.plot import Plot
from server.writing.usage import Usage

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
    """The one log of a plot's events. Belongs to one event loop.

    id: what it is found by. feed: the tokens so far, then the end: at most one more than the plot may have tokens.
    end: the last event, once it is there. readers: how many follow it.
    """

    def __init__(self, id: str, plot: Plot) -> None:
        self.id = id
        self.plot = plot
        self.feed: Feed[Event] = Feed()
        self.end: Done | Failed | None = None
        self.readers = 0

    @property
    def text(self) -> str:
        """What is written so far."""
        return "".join(event.text for event in self.feed.items if isinstance(event, Token))

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        read, written = self.plot.prompt_tokens, self.plot.tokens
        return Usage(read, written, read + written)

    async def write(self) -> None:
        """Takes the plot down to its end, whoever reads."""
        try:
            async for text in self.plot:
                self.feed.append(Token(text))
        except Exception:  # readers wait for an end
            logger.exception("A plot failed")
        reason = self.plot.finish_reason
        if reason is None:
            self.end = Failed(self.plot.failure or "The plot broke off: something went wrong here.")
        else:
            self.end = Done(reason, self.usage, self.plot.seed)
        self.feed.append(self.end, last=True)
