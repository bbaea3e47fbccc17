"""The journal of a plot: its events, for any number of readers."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import AsyncIterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from server.engine import DeadlineExceeded, EngineClosed, FinishReason
from server.plots.place import END, START, Digest, LastEvent, Place, TextDiffers, UnknownEvent, characters_to
from server.writing.feed import Feed
from server.writing.plot import Plot
from server.writing.usage import Usage

logger = logging.getLogger(__name__)

BROKE_OFF = "The plot broke off: something went wrong in the server."

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

EndReason = FinishReason | Literal["deadline", "failed"]


class Ending(Struct, frozen=True):
    """The end of a plot. message: an explanation after a failure, else None."""

    reason: EndReason
    place: Place
    message: str | None = None

    @property
    def of_itself(self) -> bool:
        """True if the request and its seed alone decide about this end."""
        return self.reason in ("stop", "length")


class Journal:
    """The log of a plot's events. It belongs to one event loop.

    feed: the tokens so far, then the end. ids: of these events. place: where the text ends so far. end: the last event;
    None before. readers: how many follow the plot. plot: writes the text; None while it waits for a place in the
    engine. again: the plot is generated again. known: the end that it has elsewhere, or had before. ending: the end
    here; None before. stopped: it is to end now. left: that is because nobody followed it. task: runs the writing.
    """

    task: asyncio.Task[None]

    def __init__(
        self,
        id: str,
        opening: str,
        seed: int,
        prompt_tokens: int,
        known: Ending | None = None,
        again: bool = False,
    ) -> None:
        self.id = id
        self.opening = opening
        self.seed = seed
        self.prompt_tokens = prompt_tokens
        self.feed: Feed[Event] = Feed()
        self.ids: list[str] = []
        self.place = START
        self.end: Done | Failed | None = None
        self.readers = 0
        self.plot: Plot | None = None
        self.again = again
        self.known = known
        self.ending: Ending | None = None
        self.stopped = self.left = False
        self._places: list[Place] = []
        self._digest = Digest()

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(event.text for event in self.feed.items if isinstance(event, Token))

    @property
    def usage(self) -> Usage:
        """The tokens so far."""
        read, written = self.prompt_tokens, self.place.tokens
        return Usage(read, written, read + written)

    async def write(self, plot: Plot) -> Ending | None:
        """Write the text of the plot, with or without readers, and return its end.

        If a part of it was written before, the text must begin with that. Return None if the engine was closed before
        the end. Raises TextDiffers.
        """
        self.plot, known, seen = plot, self.text, 0
        try:
            if self.stopped:
                plot.cancel()
            async for piece in plot:
                there = known[seen : seen + len(piece)]
                if not piece.startswith(there):
                    raise TextDiffers
                seen += len(piece)
                if len(there) < len(piece):
                    self._add(piece[len(there) :], plot.tokens)
                if self._at_limit:
                    plot.cancel()
                    break
        except TextDiffers:
            plot.cancel()
            raise
        except Exception:  # the readers wait for an end
            logger.exception("A plot failed")
        return self._ending(plot, short=seen < len(known))

    def stop(self) -> None:
        """Stop the writing, or the wait for it. The text so far stays."""
        self.stopped = True
        if self.plot is not None:
            self.plot.cancel()
        elif self.again:
            self.task.cancel()

    def leave(self) -> None:
        """Stop the writing because nobody follows the plot."""
        self.left = True
        self.stop()

    def end_at(self, ending: Ending) -> None:
        """Take note that the plot has ended on another server: stop there, or at once if somebody stopped it."""
        self.known = ending
        reached = not ending.of_itself and ending.place.tokens <= self.place.tokens
        if ending.reason == "cancelled" or reached:
            self.stop()

    def finish(self, ending: Ending | None) -> None:
        """Add the last event. None: the rest comes from another server, or from this one after its start."""
        if ending is None:
            self.feed.close()
            return
        self.ending, self.place = ending, ending.place
        if ending.reason == "deadline" or ending.reason == "failed":
            self.end = Failed(ending.message or BROKE_OFF)
        else:
            self.end = Done(ending.reason, self.usage, self.seed)
        self.ids.append(self.place.id + END)
        self.feed.append(self.end, last=True)

    def position(self, last: LastEvent) -> tuple[int, int] | None:
        """Return the number of events that a client has, and of characters that it has of the next one.

        Return None while the text has not come as far as that. Raises TextDiffers if the client has another text, and
        UnknownEvent for a number without an event.
        """
        place, texts = last.place, len(self._places)
        if last.ended and not self.feed.ended:
            return None
        if place is None:
            if last.number > len(self.feed.items):
                if not self.again or self.feed.ended:
                    raise UnknownEvent.of(str(last.number))
                return None
            return last.number, 0
        if place == START:
            return 0, 0
        if place.tokens > self.place.tokens:
            if self.ending is None:  # it will come, from here or from another server
                return None
            if self.ending.of_itself:
                raise TextDiffers
            return texts, 0  # it was stopped here while another server was ahead
        index = min(bisect_left(self._places, place.tokens, key=lambda each: each.tokens), texts - 1)
        if index < 0:
            if self.ending is None:
                raise TextDiffers
            return 0, 0  # it has failed so often that it is not generated again
        *before, text = (event.text for event in self.feed.items[: index + 1] if isinstance(event, Token))
        characters = characters_to(place, "".join(before), text)
        return (index, characters) if characters < len(text) else (index + 1, 0)

    async def until(self, last: LastEvent, heartbeat: float | None = None) -> AsyncIterator[list[Event]]:
        """Yield the events until there is a position for a client's last event, [] for each heartbeat.

        Raises TextDiffers and UnknownEvent.
        """
        if self.position(last) is None:
            async for events in self.feed.follow(0, heartbeat):
                if self.position(last) is not None:
                    return
                yield events

    @property
    def _limit(self) -> Place | None:
        """The place where the text ends though it would go on. None if there is none, or once it is stopped."""
        return None if self.stopped or self.known is None or self.known.of_itself else self.known.place

    @property
    def _at_limit(self) -> bool:
        return self._limit is not None and self._limit.tokens <= self.place.tokens

    def _add(self, text: str, tokens: int) -> None:
        if self._limit is not None and tokens >= self._limit.tokens:
            text, tokens = text[: characters_to(self._limit, self.text, text)], self._limit.tokens
        if text:
            self._digest.add(text)
            self.place = Place(tokens, self._digest.value)
            self._places.append(self.place)
            self.ids.append(self.place.id)
            self.feed.append(Token(text))

    def _ending(self, plot: Plot, short: bool) -> Ending | None:
        """Return the end after the text of a plot. short: less than was written before. Raises TextDiffers."""
        known, reason, error = self.known, plot.finish_reason, plot.error
        if known is not None and not known.of_itself and (self.stopped or self._at_limit):
            return Ending(known.reason, self.place, known.message)
        place = self.place if short else Place(plot.tokens, self._digest.value)
        if reason in ("stop", "length"):
            ending = Ending(reason, place)
            if short or known not in (None, ending):
                raise TextDiffers
            return ending
        if isinstance(error, EngineClosed):
            return None
        if isinstance(error, DeadlineExceeded):
            return Ending("deadline", place, plot.failure)
        return Ending("failed", place, plot.failure) if reason is None else Ending(reason, place)
