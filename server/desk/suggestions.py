"""Suggestions at the caret: three out of several continuations. A seed gives the same words again."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from msgspec import Struct

from server.desk.continuations import COUNT, Continuations, Piece
from server.desk.ranking import CANDIDATES, best, scores
from server.engine import AnyEngine, EngineBusy, EngineError
from server.http import sse
from server.http.sse import HEARTBEAT
from server.writing.brief import Brief
from server.writing.plot import Plot

MADE_WAY = "Others are writing."
"""The explanation of suggestions that made way."""

ENDS = re.compile(r"""[.!?…]+(["”’)]*)\s*$""")
"""The end of a sentence, with the quotation marks behind it."""

FULL_STOP = re.compile(r"(?<!\.)\.()\s*$")
"""A full stop, not of an ellipsis or within quotation marks."""


class Begun(Struct, frozen=True):
    """The beginning of suggestions. seeds: of all candidates.

    read, notes: numbers of characters of the text and of the notes that the model reads.
    """

    name: ClassVar[str] = "begun"
    seeds: list[int]
    read: int
    notes: int


class Ended(Struct, frozen=True):
    """The end of suggestions. failure: an explanation if something went wrong, else None.

    seeds: of those that are shown. finished: for each, True if it has ended with its sentence, False if it breaks off.
    """

    name: ClassVar[str] = "settled"
    failure: str | None
    seeds: list[int]
    finished: list[bool]


def closing(text: str, rest: str) -> re.Match[str] | None:
    """Return the end of a suggestion that closes a sentence which goes on in `rest`, behind it.

    Its first group stays. Before punctuation, all that ends a sentence goes; before a small letter, only a full stop.
    """
    following = rest.lstrip(" \t\xa0")[:1]
    if following.islower():
        return FULL_STOP.search(text)
    return ENDS.search(text) if following and following in ".!?…,;:)—–" else None


class Suggestions(Continuations[Ended]):
    """Suggestions for one place in a text, the best of the candidates in `plots`.

    The first candidate is shown first, while it is written. If nobody has asked for them yet, the best one comes first.

    rest: the text behind the caret. client: asks for them. prefetches: None if somebody has asked for them. made_way:
    they stopped because somebody else needs their rows.
    """

    def __init__(
        self,
        engine: AnyEngine,
        brief: Brief,
        plots: Sequence[Plot],
        bare: bool,
        rest: str,
        client: str,
        prefetches: "Prefetches | None",
    ) -> None:
        self._engine, self._brief, self._client, self._prefetches = engine, brief, client, prefetches
        self._rest = rest
        self._streamed = 0 if prefetches else 1
        self._shown = 0  # characters of the first one
        self._stopped = self.made_way = False
        super().__init__(plots, bare)

    def grown(self, index: int, piece: str) -> None:
        if index < self._streamed:
            text = self.texts[index]
            end = closing(text, self._rest)  # more may follow, and then it closes nothing
            self._show(index, text[: end.start()] if end else text)
        if self._prefetches and self._prefetches.give_way():
            self.made_way = True
            self.stop()

    def stop(self) -> None:
        self._stopped = True
        super().stop()

    async def settled(self) -> Ended:
        failure = MADE_WAY if self.made_way else self.failure
        whole = [plot.finish_reason == "stop" and text != "" for plot, text in zip(self.plots, self.texts, strict=True)]
        shown = list(range(min(COUNT, len(self.plots))))
        if not (failure or self._stopped):
            try:
                shown = await best(self.texts, whole, self._scores, COUNT, self._streamed)
            except EngineError as error:
                failure = f"The suggestions broke off: {error}."
        for index, number in enumerate(shown):
            text = self.texts[number]
            end = closing(text, self._rest)
            self._show(index, text[: end.start()] + end[1] if end else text)
        return Ended(failure, [self.plots[number].seed for number in shown], [whole[number] for number in shown])

    def broken(self, failure: str) -> Ended:
        return Ended(failure, [], [])

    def _show(self, index: int, text: str) -> None:
        """Add a suggestion to the feed, or what has come to it since."""
        if index < self._streamed:
            text, self._shown = text[self._shown :], len(text)
        if text:
            self.feed.append(Piece(index, text))

    async def _scores(self, indices: Sequence[int]) -> list[float]:
        plots, texts = [self.plots[index] for index in indices], [self.texts[index] for index in indices]
        return await scores(self._engine, self._brief, plots, texts, self._client, lambda: self._stopped)

    async def frames(self, begun: Begun, heartbeat: float) -> AsyncIterator[bytes]:
        """Yield server-sent events: the beginning, the pieces as they come, and the end."""
        yield sse.event(begun, begun.name)
        async for events in self.feed.follow(heartbeat=heartbeat):
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
        return self.engine.queued > 0 and self._free < min(2 * CANDIDATES, self._rows)

    @property
    def _free(self) -> int:
        """The rows that are free at least: a running sequence takes two at most."""
        return self._rows - 2 * self.engine.running

    @property
    def _rows(self) -> int:
        return self.engine.config.rows * self.engine.replicas
