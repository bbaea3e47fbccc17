"""The queue of requests, fair between clients.

This is start-time fair queuing (Goyal et al. 1996). Each group gets a start tag, and the lowest tag goes first. When a
sequence ends, the clock advances by its tokens, divided by the number of clients with queued or running sequences.
Sheng et al. 2024 (arXiv:2401.00588) count tokens in the same way. So a client owes for its queued and its running
groups: the first group of another client goes before the next group of a client with all rows. The groups of one client
keep their order.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from server.engine.sequence import Sequence, SequenceGroup

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
        self._unfinished: Counter[str] = Counter()
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
        self._unfinished[group.client] += len(group.sequences)
        self._arrived += 1
        heappush(self._heap, (start, self._arrived, group))
        if len(self._next_start) > MAX_CLIENTS:
            self._next_start = {client: start for client, start in self._next_start.items() if start > self._clock}

    def peek(self) -> SequenceGroup | None:
        """Return the next group, None if there is none. Drop groups without readers on the way."""
        while self._heap and self._heap[0][2].cancelled:
            group = heappop(self._heap)[2]
            self._drop(group)
            group.finish_cancelled()
        return self._heap[0][2] if self._heap else None

    def pop(self) -> SequenceGroup:
        """Remove and return the group returned by `peek`. Its client owes for it until `settle`."""
        group = heappop(self._heap)[2]
        self._release_rows(group)
        for sequence in group.sequences:
            sequence.stats.scheduled_at = time.monotonic()
        return group

    def settle(self, sequences: Iterable[Sequence]) -> None:
        """Settle the debts of clients for sequences that have ended."""
        for sequence in sequences:
            self._clock += sequence.cost / len(self._unfinished)
            self._forget(sequence.client, 1)

    def remove_cancelled(self) -> None:
        """Drop the groups without readers."""
        cancelled = [group for group in self if group.cancelled]
        self._remove(cancelled)
        for group in cancelled:
            group.finish_cancelled()

    def remove_expired(self, now: float) -> list[SequenceGroup]:
        """Remove and return the groups past their deadline; `now` is in seconds of the monotonic clock."""
        expired = [group for group in self if group.sequences[0].deadline <= now]
        self._remove(expired)
        return expired

    def count(self, client: str) -> int:
        """Return the number of a client's queued sequences."""
        groups = [group for group in self if group.client == client]
        return sum(not sequence.channel.status.final for group in groups for sequence in group.sequences)

    def unfinished(self, client: str) -> int:
        """Return the number of a client's sequences, queued and running, with those whose readers have left."""
        return self._unfinished[client]

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
                self._drop(group)

    def _drop(self, group: SequenceGroup) -> None:
        """Forget a group that never ran: its client owes nothing for it."""
        if group.client in self._next_start:
            self._next_start[group.client] -= group.cost
        self._release_rows(group)
        self._forget(group.client, len(group.sequences))

    def _release_rows(self, group: SequenceGroup) -> None:
        self.rows[group.client] -= group.rows
        if not self.rows[group.client]:
            del self.rows[group.client]

    def _forget(self, client: str, sequences: int) -> None:
        self._unfinished[client] -= sequences
        if not self._unfinished[client]:
            del self._unfinished[client]
        if not self._unfinished:  # no client competes, so past use no longer counts
            self._clock = 0.0
            self._next_start.clear()
