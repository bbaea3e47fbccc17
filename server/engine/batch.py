"""The running batch and its step: schedule, prefill and decode, sample, deliver."""

import threading
import time
from collections import abc, deque
from collections.abc import Iterable

import numpy as np

from server.engine.arrays import Floats
from server.engine.config import DEFAULT_QUEUE_SECONDS, EngineConfig
from server.engine.errors import DeadlineExceeded, EngineError
from server.engine.fair_queue import FairQueue
from server.engine.model.runner import Runner
from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.scheduler import Prefill, Scheduler
from server.engine.sequence import Sequence
from server.engine.stats import Observer, StepStats
from server.engine.stream import Item

Indices = abc.Sequence[abc.Sequence[int]]
"""For each sequence, the indices of its rows."""


class Batch:
    """The model, its KV cache, and the sequences in it. Only the engine's thread calls `step`.

    Args:
        lock: is held while the scheduler changes, so other threads can read its state.
        observer: receives the statistics of each step.

    Attributes:
        generated: the number of tokens so far.
    """

    def __init__(
        self,
        runner: Runner,
        sampler: BatchSampler,
        queue: FairQueue,
        config: EngineConfig,
        lock: threading.Condition,
        observer: Observer,
    ) -> None:
        self.runner = runner
        self.scheduler = Scheduler(runner.cache, queue, config.rows, config.kept, runner.most_logits)
        self.generated = 0
        self._sampler = sampler
        self._lock = lock
        self._observer = observer
        self._durations: deque[float] = deque(maxlen=64)

    @property
    def queue_seconds(self) -> float:
        """The estimated seconds until the present queue is empty, from the duration of recent sequences."""
        if not self._durations:
            return DEFAULT_QUEUE_SECONDS
        mean, scheduler = sum(self._durations) / len(self._durations), self.scheduler
        return scheduler.queue.rows.total() * mean / max(scheduler.rows - scheduler.free_rows, 1)

    def step(self) -> None:
        """Prefill a piece of the new prompts, then decode one token of every decoding sequence.

        After an exception of any type, do not use the batch again: its cache may be half written.
        """
        step = StepStats()
        try:
            with self._lock:
                self._release_cancelled_and_expired(step)
                prefill = self.scheduler.next_prefill()
            if prefill is not None:
                self._prefill(prefill, step)
            if self.scheduler.decoding:
                self._decode(step)
        finally:  # even after an error: no other list has the sequences that ended in this step
            self.generated += step.generated
            step.deliver(self._observer)

    def fail(self, error: EngineError) -> None:
        """End all running sequences with an error."""
        with self._lock:
            running = self.scheduler.clear()
        fail(running, error, self._observer)

    def _release_cancelled_and_expired(self, step: StepStats) -> None:
        """End the queued and decoding sequences past their deadline, and release cancelled ones in decode."""
        scheduler, now = self.scheduler, time.monotonic()
        expired = [sequence for group in scheduler.queue.remove_expired(now) for sequence in group.sequences]
        leaving = [each for each in scheduler.decoding if each.channel.status.final or each.deadline <= now]
        for sequence in (*expired, *leaving):
            if sequence.channel.status.final:
                step.finished.append((sequence.stats, sequence.channel.status))
            else:
                step.add(sequence.channel, sequence.stats, DeadlineExceeded())
        self._release(leaving)

    def _prefill(self, prefill: Prefill, step: StepStats) -> None:
        """Do a prefill run. If it completes its groups, sample the first token of each of their sequences."""
        first_row = prefill.rows[0].index
        if prefill.all_logits:
            for run in self.runner.prefill_all_logits(first_row, prefill.start, prefill.pieces):
                for row, logits in zip(prefill.rows, run, strict=True):
                    if row.logprobs is not None:
                        row.logprobs.add(logits)
                    row.logits = logits[-1].copy()  # the next run overwrites them
        else:
            last_logits = self.runner.prefill(first_row, prefill.start, prefill.pieces)
            for row, last in zip(prefill.rows, last_logits, strict=True):
                row.logits = last.copy()
        with self._lock:
            complete = self.scheduler.finish_prefill(prefill)
        if not complete:
            return
        first_logits, rows = list[Floats](), list[abc.Sequence[int]]()
        for group in complete:
            step.prompt_tokens += len(group.prompts[0].tokens)
            step.cache_queries += sum(len(prompt.tokens) for prompt in group.prompts)
            step.cache_hits += sum(prompt.cache_hits for prompt in group.prompts)
            for _ in group.sequences:  # sampling overwrites logits, so each sequence needs its own copy
                rows.append(range(len(first_logits), len(first_logits) + len(group.prompts)))
                first_logits += [prompt.logits for prompt in group.prompts if prompt.logits is not None]
            for sequence in group.sequences:
                for chunk in sequence.replayed:
                    step.add(sequence.channel, sequence.stats, chunk)
                sequence.replayed = []
            for prompt in group.prompts:
                prompt.logits = prompt.logprobs = None
        self._sample(
            [sequence for group in complete for sequence in group.sequences], np.stack(first_logits), rows, step
        )

    def _decode(self, step: StepStats) -> None:
        """Compute the latest token of every decoding row, and sample the next token of each sequence."""
        sequences, rows = self.scheduler.decoding, self.scheduler.decoding_rows
        logits = self.runner.decode([row.tokens[-1] for row in rows], [row.cached for row in rows])
        for row in rows:
            row.cached += 1
        # Row i of the cache has row i of the logits.
        self._sample(sequences, logits, [[row.index for row in each.rows] for each in sequences], step)

    def _sample(self, sequences: list[Sequence], logits: Floats, rows: Indices, step: StepStats) -> None:
        """Sample a token for each sequence from its rows of the logits, and release the sequences that end."""
        inputs = [sequence.prepare(logits, own) for sequence, own in zip(sequences, rows, strict=True)]
        ended = []
        for sequence, token in zip(sequences, self._sampler.sample(logits, inputs), strict=True):
            try:
                item: Item | None = sequence.append(token)
                step.sampled.append(sequence.stats)
            except FloatingPointError as error:
                item = EngineError(f"the model failed: {error}")
            if item is not None and step.add(sequence.channel, sequence.stats, item).final:
                ended.append(sequence)
        with self._lock:
            self._release(ended)

    def _release(self, sequences: list[Sequence]) -> None:
        now = time.monotonic()
        self._durations.extend(now - sequence.stats.scheduled_at for sequence in sequences)
        self.scheduler.release(sequences)


def fail(sequences: Iterable[Sequence], error: EngineError, observer: Observer) -> None:
    """End sequences with an error, outside of a step."""
    step = StepStats()
    for sequence in sequences:
        step.add(sequence.channel, sequence.stats, error)
    step.deliver(observer)
