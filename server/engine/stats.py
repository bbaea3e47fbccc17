"""What became of whom, and when: kept by the engine, and told to those who watch it."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from server.engine.errors import EngineBusy
from server.engine.stream import Channel, FinishReason, Item, deliver

logger = logging.getLogger(__name__)

Reason = FinishReason | Literal["deadline", "failed"]


@dataclass(eq=False)
class Life:
    """What became of one continuation; times are seconds of the monotonic clock, nan for what has not come.

    request: the id of its request. prompt_tokens: how many its prompt has. submitted; began: its turn came; first,
    last: its first and its latest token were sent; ended. tokens: how many were sent. reason: why it ended, or is about
    to.
    """

    observer: "Observer" = field(repr=False)
    request: str = ""
    prompt_tokens: int = 0
    submitted: float = field(default_factory=time.monotonic)
    began: float = math.nan
    first: float = math.nan
    last: float = math.nan
    ended: float = math.nan
    tokens: int = 0
    reason: Reason | None = None

    def end(self, reason: Reason) -> None:
        """It is over, for this reason where none is known yet. Whatever comes afterwards is not told."""
        if math.isnan(self.ended):
            self.reason = self.reason or reason
            self.ended = time.monotonic()
            self.observer.ended(self)


@dataclass
class Step:
    """What a step of the engine does, until it is over.

    sent: what goes to readers. wrote: who drew a token. ended: who left their rows, and why if nothing else is known.
    prompt_tokens: of the requests whose prompts were read whole. looked_up: the same, with the prompts that others are
    led away from; reused: how many of these were kept from before.

    Afterwards also: firsts: who had their first token. intervals: of everybody else who had one, the seconds since the
    one before.
    """

    sent: list[tuple[Channel, Item]] = field(default_factory=list)
    wrote: list[Life] = field(default_factory=list)
    ended: list[tuple[Life, Reason]] = field(default_factory=list)
    prompt_tokens: int = 0
    looked_up: int = 0
    reused: int = 0
    firsts: list[Life] = field(default_factory=list)
    intervals: list[float] = field(default_factory=list)

    def close(self, observer: "Observer") -> None:
        """Tells what was done, then sends what is there: what a client has received is counted already."""
        now = time.monotonic()
        for life in self.wrote:
            if math.isnan(life.first):
                life.first = now
                self.firsts.append(life)
            elif life.last != now:  # a sequence may draw twice in its first step; both tokens are sent together
                self.intervals.append(now - life.last)
            life.last = now
        observer.stepped(self)
        for life, reason in self.ended:
            life.end(reason)
        deliver(self.sent)


class Observer:
    """Whoever watches an engine. What is called returns soon: most of it comes from the engine's thread."""

    def submitted(self, lives: list[Life]) -> None:
        """A request is about to wait for its turn. In the context of whoever submits it."""

    def refused(self, lives: list[Life], error: EngineBusy) -> None:
        """It may not. In the same context."""

    def stepped(self, step: Step) -> None:
        """A step is over."""

    def ended(self, life: Life) -> None:
        """A continuation that was submitted is over, also one whose turn never came. From any thread, once for each."""


class Observers(Observer):
    """All who watch. One that fails is logged, and what it watches goes on."""

    def __init__(self) -> None:
        self._all: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Somebody watches from now on."""
        self._all.append(observer)

    def submitted(self, lives: list[Life]) -> None:
        self._tell(lambda observer: observer.submitted(lives))

    def refused(self, lives: list[Life], error: EngineBusy) -> None:
        self._tell(lambda observer: observer.refused(lives, error))

    def stepped(self, step: Step) -> None:
        self._tell(lambda observer: observer.stepped(step))

    def ended(self, life: Life) -> None:
        self._tell(lambda observer: observer.ended(life))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for observer in self._all:
            try:
                call(observer)
            except Exception:
                logger.exception("%s failed; the engine goes on", type(observer).__name__)
