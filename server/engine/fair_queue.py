"""The queue of requests, fair between clients.

This is start-time fair queuing (Goyal et al. 1996). Each group gets a start tag, and the lowest tag goes first. When a
group leaves the queue, the clock advances by its tokens, divided by the number of clients in the queue. Sheng et al.
2024 (arXiv:2401.00588) count tokens in the same way. A client with 200 groups delays only itself: the first group of
another client waits for at most one of them. The groups of one client keep their order.
"""

import time
from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from server.engine.sequence import SequenceGroup

MAX_CLIENTS = 1024
"""The number of start tags to keep before dropping the past ones: these no longer delay a client."""


class FairQueue:
    """Queued groups, in the order of their start. Not thread-safe.

    Attributes:
        rows: the cache rows needed by each client's queued groups.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self._heap: list[tuple[float, int, SequenceGroup]] = []
        self._clock = 0.0
        self._next_start: dict[str, float] = {}
        self._arrived = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[SequenceGroup]:
        return (group for _, _, group in self._heap)

    def append(self, group: SequenceGroup) -> None:
        """Add a group, behind the others of its client."""
        start = max(self._clock, self._next_start.get(group.client, 0.0))
        self._next_start[group.client] = start + group.cost
        self.rows[group.client] += group.rows
        self._arrived += 1
        heappush(self._heap, (start, self._arrived, group))
        if len(self._next_start) > MAX_CLIENTS:
            self._next_start = {client: start for client, start in self._next_start.items() if start > self._clock}

    def peek(self) -> SequenceGroup | None:
        """Return the next group, None if there is none. Drop groups without readers on the way."""
        while self._heap and self._heap[0][2].cancelled:
            group = heappop(self._heap)[2]
            self._leave(group)
            group.finish_cancelled()
        return self._heap[0][2] if self._heap else None

    def pop(self) -> SequenceGroup:
        """Remove and return the group returned by `peek`."""
        group = heappop(self._heap)[2]
        self._clock += group.cost / len(self.rows)
        self._leave(group)
        for sequence in group.sequences:
            sequence.stats.scheduled_at = time.monotonic()
        return group

    def remove_cancelled(self) -> None:
        """Drop the groups without readers."""
        cancelled = [group for group in self if group.cancelled]
        self._remove(cancelled)
        for group in cancelled:
            group.finish_cancelled()

    def remove_expired(self, now: float) -> list[SequenceGroup]:
        """Remove and return the groups past their deadline; `now` is in seconds of the monotonic clock."""
        expired = [group for group in self if group.deadline <= now]
        self._remove(expired)
        return expired

    def count(self, client: str) -> int:
        """Return the number of a client's queued sequences."""
        groups = [group for group in self if group.client == client]
        return sum(not sequence.channel.status.final for group in groups for sequence in group.sequences)

    def clear(self) -> list[SequenceGroup]:
        """Remove and return all groups."""
        groups = list(self)
        self._remove(groups)
        return groups

    def _remove(self, groups: list[SequenceGroup]) -> None:
        if groups:
            gone = set(map(id, groups))
            self._heap = [entry for entry in self._heap if id(entry[2]) not in gone]
            heapify(self._heap)
            for group in groups:
                self._leave(group)

    def _leave(self, group: SequenceGroup) -> None:
        self.rows[group.client] -= group.rows
        if not self.rows[group.client]:
            del self.rows[group.client]
        if not self.rows:  # no client is queued, so past use no longer counts
            self._clock = 0.0
            self._next_start.clear()
