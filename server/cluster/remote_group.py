"""The sequences of a remote request, in the app's process."""

import dataclasses
import time
from itertools import chain

from msgspec.structs import replace

from server.cluster.messages import RemoteRequest
from server.engine import Channel, EngineError, Item, Observer, SequenceStats, StepStats


class RemoteGroup:
    """The streams of a remote request, and the tokens delivered to each. Belongs to one event loop.

    After a replica is lost, another one generates everything again, and is told the delivered tokens: it may prefill
    them. They are compared and skipped. This is exact, because a request with a seed gives the same tokens on every
    replica.

    channels: one for each stream. begun: True after the first text. generated: tokens delivered so far. avoid: the ids
    of the replicas that could not finish it.
    """

    def __init__(self, remote: RemoteRequest, all_stats: list[SequenceStats]) -> None:
        self.remote = remote
        self.channels = [Channel() for _ in all_stats]
        self.begun = False
        self.generated = 0
        self.avoid: set[str] = set()
        self._all_stats = all_stats
        self._running = set(range(remote.count))
        self._delivered: list[list[tuple[int, ...]]] = [[] for _ in all_stats]
        self._seen = [0] * remote.count

    @property
    def running(self) -> int:
        """The number of unfinished continuations."""
        return len(self._running)

    @property
    def wanted(self) -> int:
        """The number of unfinished continuations with a reader."""
        return sum(not self.channels[number].status.final for number in tuple(self._running))

    @property
    def ended(self) -> list[int]:
        """The numbers of the continuations that have ended."""
        return [number for number in range(self.remote.count) if number not in self._running]

    def restart(self, arithmetic: str) -> None:
        """Prepare for another replica to go on. arithmetic: of the one that was lost."""
        self._seen = [0] * self.remote.count
        drawn = tuple(
            tuple(chain.from_iterable(tokens)) if number in self._running else ()
            for number, tokens in enumerate(self._delivered)
        )
        request = dataclasses.replace(self.remote.request, drawn=drawn, drawn_with=arithmetic)
        self.remote = replace(self.remote, request=request)

    def begin(self, prefill_seconds: float, step: StepStats) -> None:
        """Note that the first text follows. prefill_seconds: the time of the request's prefill."""
        if not self.begun:
            self.begun = True
            step.prompt_tokens += self._all_stats[0].prompt_tokens
            for stats in self._all_stats:
                stats.scheduled_at = max(time.monotonic() - prefill_seconds, stats.queued_at)

    def take(self, number: int, item: Item, step: StepStats) -> None:
        """Add an item of a continuation to a step, unless it was delivered before or has no reader.

        Raises EngineError if an item that was delivered before differs.
        """
        if number not in self._running or self.channels[number].status.final:
            return
        stats = self._all_stats[number]
        if not isinstance(item, EngineError):
            delivered, seen = self._delivered[number], self._seen[number]
            self._seen[number] += 1
            if seen < len(delivered):
                if delivered[seen] != item.token_ids:
                    raise EngineError("another replica took over the text and generated a different one")
                return
            delivered.append(item.token_ids)
            step.sampled.append(stats)
            self.generated += len(item.token_ids)
        if step.add(self.channels[number], stats, item).final:
            self._running.discard(number)

    def remove_cancelled(self) -> list[int]:
        """End the continuations without a reader, and return their numbers."""
        cancelled = [number for number in self._running if self.channels[number].status.final]
        for number in cancelled:
            self._running.discard(number)
            self._all_stats[number].finish(self.channels[number].status)
        return cancelled

    def fail(self, error: EngineError, observer: Observer) -> None:
        """End all unfinished continuations with an error."""
        step = StepStats()
        for number in self._running:
            step.add(self.channels[number], self._all_stats[number], error)
        self._running.clear()
        step.deliver(observer)
