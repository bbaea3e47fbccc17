"""A request under way at some replica, as the app sees it."""

import time

from server.cluster.replica import Order, Piece
from server.engine import Chunk, DeadlineExceeded, EngineError, SequenceStats, StepStats
from server.engine.stats import Observer, Reason
from server.engine.stream import Channel, deliver


class Job:
    """The continuations of an order: to whom they go, and what was delivered of each. Belongs to one event loop.

    A replica that takes an order over from another writes all of it anew: what is delivered already is compared and
    skipped, which is exact, since a request with a seed gives the same tokens wherever it is written.

    begun: whether anything has come. running: how many continuations have not ended. written: tokens delivered so far.
    """

    def __init__(self, order: Order, all_stats: list[SequenceStats]) -> None:
        self.order = order
        self.channels = [Channel() for _ in all_stats]
        self.begun = False
        self.written = 0
        self._all_stats = all_stats
        self._running = set(range(order.count))
        self._delivered: list[list[tuple[int, ...]]] = [[] for _ in all_stats]
        self._seen = [0] * order.count

    @property
    def running(self) -> int:
        """How many continuations have not ended."""
        return len(self._running)

    @property
    def wanted(self) -> int:
        """How many continuations somebody still reads."""
        return sum(not self.channels[number].cancelled for number in tuple(self._running))

    def restart(self) -> None:
        """Another replica begins from the beginning."""
        self._seen = [0] * self.order.count

    def take(self, piece: Piece, observer: Observer) -> None:
        """Delivers what is new in a piece. Raises EngineError for a text other than the one before."""
        step = StepStats()
        if not self.begun:
            self.begun = True
            step.prompt_tokens = self._all_stats[0].prompt_tokens
            for stats in self._all_stats:
                stats.scheduled_at = max(time.monotonic() - piece.reading, stats.queued_at)
        try:
            for number, item in piece.items:
                if number in self._running and not self.channels[number].cancelled:
                    self._deliver(number, item, step)
        finally:
            step.close(observer)

    def leave(self) -> list[int]:
        """Ends those that nobody reads any longer; their numbers."""
        left = [number for number in self._running if self.channels[number].cancelled]
        for number in left:
            self._running.discard(number)
            self._all_stats[number].finish(self.channels[number].ending)
        return left

    def fail(self, error: EngineError, reason: Reason) -> None:
        """Ends all that have not ended."""
        for number in self._running:
            self._all_stats[number].finish(reason)
        deliver((self.channels[number], error) for number in self._running)
        self._running.clear()

    def _deliver(self, number: int, item: Chunk | EngineError, step: StepStats) -> None:
        stats = self._all_stats[number]
        if isinstance(item, EngineError):
            self._running.discard(number)
            step.finished.append((stats, "deadline" if isinstance(item, DeadlineExceeded) else "failed"))
        else:
            delivered, seen = self._delivered[number], self._seen[number]
            self._seen[number] += 1
            if seen < len(delivered):
                if delivered[seen] != item.token_ids:
                    raise EngineError("another replica took the text over, and writes a different one")
                return
            delivered.append(item.token_ids)
            self.written += len(item.token_ids)
            stats.generated += len(item.token_ids)
            step.sampled.append(stats)
            if item.finish_reason is not None:
                self._running.discard(number)
                step.finished.append((stats, item.finish_reason))
        step.outputs.append((self.channels[number], item))
