"""One step of the engine: schedule, prefill and decode, sample, deliver."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Rows

import numpy as np

from server.engine.errors import DeadlineExceeded, EngineError
from server.engine.fair_queue import FairQueue
from server.engine.model.runner import Runner
from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.sampling.kernels import Floats
from server.engine.scheduler import Prefill, Scheduler
from server.engine.sequence import Sequence
from server.engine.stats import Observer, StepStats
from server.engine.stream import deliver

FIRST_GUESS = 5.0
"""Seconds that a queue takes to clear, before anything is known."""


class Batch:
    """A session with its KV cache, and the sequences in it. One thread calls `step`.

    lock: held wherever the scheduler changes, so that other threads can look. observer: gets the statistics of each
    step. generated: tokens so far.
    """

    def __init__(
        self,
        runner: Runner,
        batch_sampler: BatchSampler,
        queue: FairQueue,
        rows: int,
        kept: int,
        lock: threading.Condition,
        observer: Observer,
    ) -> None:
        self.runner = runner
        self.scheduler = Scheduler(runner.cache, queue, rows, kept)
        self.generated = 0
        self._batch_sampler = batch_sampler
        self._lock = lock
        self._observer = observer
        self._durations: deque[float] = deque(maxlen=64)

    @property
    def queue_seconds(self) -> float:
        """Seconds until the queue of now is empty, if sequences take as long as the last ones did."""
        if not self._durations:
            return FIRST_GUESS
        mean = sum(self._durations) / len(self._durations)
        scheduler = self.scheduler
        return scheduler.queue.rows.total() * mean / max(scheduler.rows - scheduler.free_rows, 1)

    def step(self) -> None:
        """Prefills a piece of the groups that arrive, and decodes one token of each sequence.

        After an exception, of whatever type, the cache is not to be trusted.
        """
        step = StepStats()
        try:
            with self._lock:
                self._release_cancelled_and_expired(step)
                prefill = self.scheduler.next_prefill()
            if prefill is not None:
                self._prefill(prefill, step)
            if self.scheduler.decoding_rows:
                self._decode(step)
        finally:  # a sequence that ended before an error is in no other list
            step.close(self._observer)

    def fail(self, error: EngineError) -> None:
        """Ends all running sequences with an error."""
        with self._lock:
            failed = self.scheduler.clear()
        for sequence in failed:
            sequence.stats.finish("failed")
        deliver((sequence.channel, error) for sequence in failed)

    def _release_cancelled_and_expired(self, step: StepStats) -> None:
        scheduler, now = self.scheduler, time.monotonic()
        late = [sequence for group in scheduler.queue.remove_expired(now) for sequence in group.sequences]
        late += [sequence for sequence in scheduler.decoding if sequence.deadline <= now]
        for sequence in late:
            if not sequence.channel.cancelled:
                step.outputs.append((sequence.channel, DeadlineExceeded()))
                sequence.stats.reason = "deadline"
            sequence.channel.cancelled = True
        step.finished += [(sequence.stats, sequence.channel.ending) for sequence in late]
        self._release([each for each in scheduler.decoding if each.channel.cancelled], step)

    def _prefill(self, prefill: Prefill, step: StepStats) -> None:
        logprobs = prefill.rows[0].logprobs
        if logprobs is None:
            logits = self.runner.prefill(prefill.first_row, prefill.start, prefill.pieces)
        else:
            for logits in self.runner.prefill_all_logits(prefill.first_row, prefill.start, prefill.pieces[0]):
                logprobs.add(logits)
            logits = logits[-1:]
        for row, last in zip(prefill.rows, logits, strict=True):
            row.logits = last.copy()
        with self._lock:
            complete = self.scheduler.finish_prefill(prefill)
        if not complete:
            return
        found, rows = list[Floats](), list[Rows[int]]()
        for group in complete:
            step.prompt_tokens += len(group.prompts[0].tokens)
            step.cache_queries += sum(len(prompt.tokens) for prompt in group.prompts)
            step.cache_hits += sum(prompt.cache_hits for prompt in group.prompts)
            for _ in group.sequences:  # sampling overwrites logits: each gets its own
                rows.append(range(len(found), len(found) + len(group.prompts)))
                found += [prompt.logits for prompt in group.prompts if prompt.logits is not None]
            for prompt in group.prompts:
                prompt.logits = prompt.logprobs = None
        self._sample([sequence for group in complete for sequence in group.sequences], np.stack(found), rows, step)

    def _decode(self, step: StepStats) -> None:
        sequences, rows = self.scheduler.decoding, self.scheduler.decoding_rows
        logits = self.runner.decode([row.tokens[-1] for row in rows], [row.cached for row in rows])
        for row in rows:
            row.cached += 1
        self._sample(sequences, logits, [[row.index for row in each.rows] for each in sequences], step)

    def _sample(self, sequences: list[Sequence], logits: Floats, rows: Iterable[Rows[int]], step: StepStats) -> None:
        """Samples a token for each sequence, from its rows of the logits, and releases those that end."""
        inputs = [sequence.prepare(logits, own) for sequence, own in zip(sequences, rows, strict=True)]
        for sequence, token in zip(sequences, self._batch_sampler.sample(logits, inputs), strict=True):
            try:
                chunk = sequence.append(token)
            except FloatingPointError as error:
                sequence.finished = True
                sequence.stats.reason = "failed"
                step.outputs.append((sequence.channel, EngineError(f"the model failed: {error}")))
                continue
            step.sampled.append(sequence.stats)
            if chunk is not None:
                self.generated += len(chunk.token_ids)
                sequence.stats.generated += len(chunk.token_ids)
                step.outputs.append((sequence.channel, chunk))
        with self._lock:
            self._release([sequence for sequence in sequences if sequence.finished], step)

    def _release(self, sequences: list[Sequence], step: StepStats) -> None:
        now = time.monotonic()
        self._durations.extend(now - sequence.stats.scheduled_at for sequence in sequences)
        step.finished += [(sequence.stats, sequence.channel.ending) for sequence in sequences]
        self.scheduler.release(sequences)
