"""Statistics of sequences and steps, recorded by the engine and passed to its observers."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.engine.errors import EngineBusy
from server.engine.stream import Channel, Chunk, Item, Status, deliver

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class SequenceStats:
    """The history of one sequence.

    Times are seconds of the monotonic clock, nan for events that have not happened yet. request_id: the id of its
    request. prompt_tokens: tokens of its prompt. queued_at: it was submitted. scheduled_at: it left the queue.
    first_token_at, last_token_at: its first and its latest token were sent. finished_at: it ended, with a final status.
    generated: tokens sent so far.
    """

    observer: "Observer" = field(repr=False)
    request_id: str = ""
    prompt_tokens: int = 0
    queued_at: float = field(default_factory=time.monotonic)
    scheduled_at: float = math.nan
    first_token_at: float = math.nan
    last_token_at: float = math.nan
    finished_at: float = math.nan
    generated: int = 0
    status: Status = Status.ACTIVE

    def finish(self, status: Status) -> None:
        """Records the end of the sequence and tells the observer, once; later calls do nothing."""
        if not self.status.final:
            self.status = status
            self.finished_at = time.monotonic()
            self.observer.finished(self)


@dataclass
class StepStats:
    """The work of one step of the engine, and its outputs.

    outputs: the items to deliver when the step is over. sampled: the sequences that got a token. finished: the
    sequences that ended, and their final status. generated: tokens among the outputs. prompt_tokens: tokens of the
    requests whose prefill was completed. cache_queries: the same, with the prompts that others are guided away from;
    cache_hits: how many of these the prefix cache held.

    `close` adds first_tokens: the sequences that got their first token, and inter_token_latencies: for every other
    sequence that got one, the seconds since its last token.
    """

    outputs: list[tuple[Channel, Item]] = field(default_factory=list)
    sampled: list[SequenceStats] = field(default_factory=list)
    finished: list[tuple[SequenceStats, Status]] = field(default_factory=list)
    generated: int = 0
    prompt_tokens: int = 0
    cache_queries: int = 0
    cache_hits: int = 0
    first_tokens: list[SequenceStats] = field(default_factory=list)
    inter_token_latencies: list[float] = field(default_factory=list)

    def send(self, channel: Channel, stats: SequenceStats, item: Item) -> Status:
        """Adds an item to the outputs. Returns the status of its sequence, which the last item ends."""
        self.outputs.append((channel, item))
        if isinstance(item, Chunk):
            self.generated += len(item.token_ids)
            stats.generated += len(item.token_ids)
        status = Status.after(item)
        if status.final:
            self.finished.append((stats, status))
        return status

    def close(self, observer: "Observer") -> None:
        """Tells the observer, then delivers the outputs: what a client has received is counted already."""
        now = time.monotonic()
        for stats in self.sampled:
            if math.isnan(stats.first_token_at):
                stats.first_token_at = now
                self.first_tokens.append(stats)
            elif stats.last_token_at != now:  # a first step may sample twice, and sends both tokens together
                self.inter_token_latencies.append(now - stats.last_token_at)
            stats.last_token_at = now
        observer.stepped(self)
        for stats, status in self.finished:
            stats.finish(status)
        deliver(self.outputs)


class Observer:
    """Watches an engine. Each method returns soon: most calls come from the engine's thread."""

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """A request is about to enter the queue. Called in the context of its submitter."""

    def refused(self, all_stats: list[SequenceStats], error: EngineBusy) -> None:
        """The request was refused instead. Called in the same context."""

    def stepped(self, step: StepStats) -> None:
        """A step is over."""

    def finished(self, stats: SequenceStats) -> None:
        """A queued sequence is over, even one that never left the queue. From any thread, once for each."""


class Observers(Observer):
    """Calls all observers. One that fails is logged, and the engine goes on."""

    def __init__(self) -> None:
        self._all: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Adds an observer."""
        self._all.append(observer)

    def queued(self, all_stats: list[SequenceStats]) -> None:
        self._tell(lambda observer: observer.queued(all_stats))

    def refused(self, all_stats: list[SequenceStats], error: EngineBusy) -> None:
        self._tell(lambda observer: observer.refused(all_stats, error))

    def stepped(self, step: StepStats) -> None:
        self._tell(lambda observer: observer.stepped(step))

    def finished(self, stats: SequenceStats) -> None:
        self._tell(lambda observer: observer.finished(stats))

    @contextmanager
    def queueing(self, all_stats: list[SequenceStats]) -> Iterator[None]:
        """Wraps the queueing of a request: calls `queued` before it, and `refused` if it raises EngineBusy."""
        self.queued(all_stats)
        try:
            yield
        except EngineBusy as error:
            self.refused(all_stats, error)
            raise

    def _tell(self, call: Callable[[Observer], None]) -> None:
        for observer in self._all:
            try:
                call(observer)
            except Exception:
                logger.exception("%s failed; the engine goes on", type(observer).__name__)
