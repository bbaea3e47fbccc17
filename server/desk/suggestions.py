"""Suggestions: continuations at the caret. None is kept: a seed gives the same words again."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from server.desk.continuations import COUNT, Continuations
from server.engine import AnyEngine, EngineBusy
from server.http import sse
from server.http.sse import HEARTBEAT

MADE_WAY = "Others are writing."
"""The explanation of suggestions that made way."""


class Begun(Struct, frozen=True):
    """The beginning of suggestions. seeds: of each.

    read, notes: numbers of characters of the text and of the notes that the model reads.
    """

    name: ClassVar[str] = "begun"
    seeds: list[int]
    read: int
    notes: int


class Ended(Struct, frozen=True):
    """The end of suggestions. failure: an explanation if something went wrong, else None.

    finished: for each, True if it has ended with its sentence, False if it breaks off.
    """

    name: ClassVar[str] = "settled"
    failure: str | None
    finished: list[bool]


class Suggestions(Continuations[Ended]):
    """Suggestions for one place in a text. made_way: they stopped because somebody else needs their rows."""

    made_way = False

    async def settled(self) -> Ended:
        failure = MADE_WAY if self.made_way else self.failure
        return Ended(failure, [plot.finish_reason == "stop" for plot in self.plots])

    def broken(self, failure: str) -> Ended:
        return Ended(failure, [False] * len(self.plots))

    async def frames(
        self, begun: Begun, heartbeat: float, give_way: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events: the beginning, the pieces as they come, and the end.

        give_way: when it returns True, the suggestions stop.
        """
        yield sse.event(begun, begun.name)
        async for events in self.feed.follow(heartbeat=heartbeat):
            if give_way():
                self.made_way = True
                self.stop()
            yield b"".join(sse.event(event, event.name) for event in events) or HEARTBEAT


@dataclass(frozen=True)
class Prefetches:
    """Suggestions that nobody has asked for yet: these come after everybody's requests."""

    engine: AnyEngine

    def check(self, rows: int) -> None:
        """Raise EngineBusy if anybody waits, or if so many rows might not be free."""
        if self.engine.queued or self._free < rows:
            raise EngineBusy("others are writing")

    def give_way(self) -> bool:
        """Return True if somebody waits and might not find as many rows as suggestions need."""
        return self.engine.queued > 0 and self._free < 2 * COUNT

    @property
    def _free(self) -> int:
        """The rows that are free at least: a running sequence takes two at most."""
        return self.engine.config.rows * self.engine.replicas - 2 * self.engine.running
