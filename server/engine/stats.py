"""Statistics of sequences and steps: the engine records them and passes them to its observers."""

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
    """The history of one sequence. Times are seconds of the monotonic clock, nan before the event.

    Attributes:
        request_id: the id of its request.
        prompt_tokens: the number of tokens in its prompt.
        queued_at: the time of its submission.
        scheduled_at: the time of leaving the queue.
        first_token_at: the time of sending its first token.
        last_token_at: the time of sending its latest token.
        finished_at: the time of its end.
        generated: the number of tokens sent so far.
        status: final once the sequence has ended.
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
        """Record the end of the sequence and tell the observer. Later calls do nothing."""
        if not self.status.final:
            self.status = status
            self.finished_at = time.monotonic()
            self.observer.finished(self)


@dataclass
class StepStats:
    """The work of one step of the engine, and its outputs.

    Attributes:
        outputs: the items to deliver at the end of the step.
        sampled: the sequences with a new token.
        finished: the sequences ended in the step, with their final status.
        generated: the number of tokens in the outputs.
        prompt_tokens: the number of prompt tokens, of requests with a completed prefill.
        cache_queries: the same, plus the tokens of their `against` prompts.
        cache_hits: the number of these found in the prefix cache.
        first_tokens: the sequences with their first token. Filled by `deliver`.
        inter_token_latencies: the seconds since the previous token, for the other sequences with a new token. Filled
            by `deliver`.
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

    def add(self, channel: Channel, stats: SequenceStats, item: Item) -> Status:
        """Add an item to the outputs. Return the status of its sequence after it."""
        self.outputs.append((channel, item))
        if isinstance(item, Chunk):
            self.generated += len(item.token_ids)
            stats.generated += len(item.token_ids)
        status = Status.after(item)
        if status.final:
            self.finished.append((stats, status))
        return status

    def deliver(self, observer: "Observer") -> None:
        """Tell the observer, then deliver the outputs: tokens are counted before a client has them."""
        now = time.monotonic()
        for stats in self.sampled:
            if math.isnan(stats.first_token_at):
                stats.first_token_at = now
                self.first_tokens.append(stats)
            elif stats.last_token_at != now:  # a sequence's first step may sample two tokens and send them together
                self.inter_token_latencies.append(now - stats.last_token_at)
            stats.last_token_at = now
        observer.stepped(self)
        for stats, status in self.finished:
            stats.finish(status)
        deliver(self.outputs)


class Observer:
    """Watches an engine. Its methods must return soon: the engine's thread makes most of the calls."""

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """A request is about to enter the queue. Called in the context of the submitter."""

    def refused(self, all_stats: list[SequenceStats], error: EngineBusy) -> None:
        """The request was refused instead. Called in the same context."""

    def stepped(self, step: StepStats) -> None:
        """A step is over."""

    def finished(self, stats: SequenceStats) -> None:
        """A sequence has ended, perhaps while still queued. Called once for each, from any thread."""


class Observers(Observer):
    """Calls all observers. If one raises, logs the exception and goes on."""

    def __init__(self) -> None:
        self._all: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Add an observer."""
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
        """Call `queued` before the body, which queues a request, and `refused` if it raises EngineBusy."""
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
                logger.exception("%s failed; the engine continues", type(observer).__name__)
