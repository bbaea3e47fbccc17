"""Whose turn it is: the queue of the jobs that wait, fair between clients.

Start-time fair queuing (Goyal et al. 1996), with a clock that advances by what is served, divided by how many clients
wait; what is counted is tokens, as Sheng et al. 2024 (arXiv:2401.00588) do for language models. A client with 200 jobs
waits for itself: another's first goes before all of them but the next. Jobs of one client keep their order.
"""

import time
from collections import Counter
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from server.engine.sequence import Job

MOST_REMEMBERED = 1024
"""Clients with a start tag, before those are forgotten that it makes no difference to."""


class Waiting:
    """The jobs that wait, in the order in which they will begin. Not thread-safe.

    rows: how many they will take, of each client of whom any waits.
    """

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self._heap: list[tuple[float, int, Job]] = []
        self._clock = 0.0
        self._next_start: dict[str, float] = {}
        self._arrived = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Job]:
        return (job for _, _, job in self._heap)

    def append(self, job: Job) -> None:
        """A job comes in: behind those of its client, and beside those of others."""
        start = max(self._clock, self._next_start.get(job.client, 0.0))
        self._next_start[job.client] = start + job.tokens
        self.rows[job.client] += job.rows
        self._arrived += 1
        heappush(self._heap, (start, self._arrived, job))
        if len(self._next_start) > MOST_REMEMBERED:
            self._next_start = {client: start for client, start in self._next_start.items() if start > self._clock}

    def first(self) -> Job | None:
        """Who is next, if anyone; whoever nobody reads any longer leaves."""
        while self._heap and self._heap[0][2].abandoned:
            job = heappop(self._heap)[2]
            self._leave(job)
            job.end("cancelled")
        return self._heap[0][2] if self._heap else None

    def begin(self) -> Job:
        """The job that is next begins. Only after `first` has named it."""
        job = heappop(self._heap)[2]
        self._clock += job.tokens / len(self.rows)
        self._leave(job)
        for sequence in job.sequences:
            sequence.stats.scheduled_at = time.monotonic()
        return job

    def remove_abandoned(self) -> None:
        """Those that nobody reads any longer leave."""
        abandoned = [job for job in self if job.abandoned]
        self._remove(abandoned)
        for job in abandoned:
            job.end("cancelled")

    def remove_late(self, now: float) -> list[Job]:
        """Those whose deadline, in seconds of the monotonic clock, has passed leave; they are returned."""
        late = [job for job in self if job.deadline <= now]
        self._remove(late)
        return late

    def of(self, client: str) -> int:
        """How many sequences of a client wait."""
        jobs = [job for job in self if job.client == client]
        return sum(not sequence.channel.cancelled for job in jobs for sequence in job.sequences)

    def clear(self) -> list[Job]:
        """All leave; they are returned."""
        jobs = list(self)
        self._remove(jobs)
        return jobs

    def _remove(self, jobs: list[Job]) -> None:
        if jobs:
            gone = set(map(id, jobs))
            self._heap = [entry for entry in self._heap if id(entry[2]) not in gone]
            heapify(self._heap)
            for job in jobs:
                self._leave(job)

    def _leave(self, job: Job) -> None:
        self.rows[job.client] -= job.rows
        if not self.rows[job.client]:
            del self.rows[job.client]
        if not self.rows:  # nobody competes: nobody owes
            self._clock = 0.0
            self._next_start.clear()
