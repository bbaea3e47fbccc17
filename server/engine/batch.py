"""What is read and written together, and the step that all of it takes."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Rows

import numpy as np

from server.engine.errors import DeadlineExceeded, EngineError
from server.engine.fair_queue import Waiting
from server.engine.model.runner import Runner
from server.engine.sampling.batch_sampler import Drawing
from server.engine.sampling.kernels import Floats
from server.engine.scheduler import Prefill, Scheduler
from server.engine.sequence import Sequence
from server.engine.stats import Observer, StepStats
from server.engine.stream import deliver

FIRST_GUESS = 5.0
"""Seconds that a queue takes to clear, before anything is known."""


class Batch:
    """A session with its cache, and the sequences in it. One thread calls `step`.

    drawing: draws the tokens of all. lock: held wherever the scheduler changes, so that others can look. observer: is
    told of each step. written: tokens so far.
    """

    def __init__(
        self,
        runner: Runner,
        drawing: Drawing,
        waiting: Waiting,
        rows: int,
        kept: int,
        lock: threading.Condition,
        observer: Observer,
    ) -> None:
        self.runner = runner
        self.scheduler = Scheduler(runner.cache, waiting, rows, kept)
        self.written = 0
        self._drawing = drawing
        self._lock = lock
        self._observer = observer
        self._durations: deque[float] = deque(maxlen=64)

    @property
    def seconds_to_clear(self) -> float:
        """In how many seconds those that wait now will have begun, if sequences take as long as the last ones did."""
        if not self._durations:
            return FIRST_GUESS
        mean = sum(self._durations) / len(self._durations)
        scheduler = self.scheduler
        return scheduler.waiting.rows.total() * mean / max(scheduler.rows - scheduler.free, 1)

    def step(self) -> None:
        """Reads a piece of what arrives and writes a token of each sequence: schedule, run, sample, deliver.

        Whatever it raises, the cache is not to be trusted afterwards.
        """
        step = StepStats()
        try:
            with self._lock:
                self._release_those_who_leave(step)
                prefill = self.scheduler.next_prefill()
            if prefill is not None:
                self._read(prefill, step)
            if self.scheduler.decoding:
                self._write(step)
        finally:  # a sequence that ended before an error is known to nobody afterwards
            step.close(self._observer)

    def fail(self, error: EngineError) -> None:
        """Ends what is being read and written with an error."""
        with self._lock:
            failed = self.scheduler.clear()
        for sequence in failed:
            sequence.stats.finish("failed")
        deliver((sequence.channel, error) for sequence in failed)

    def _release_those_who_leave(self, step: StepStats) -> None:
        """Those who were cancelled, and those whose time is over, wherever they are."""
        scheduler, now = self.scheduler, time.monotonic()
        late = [sequence for job in scheduler.waiting.remove_late(now) for sequence in job.sequences]
        late += [sequence for sequence in scheduler.writing if sequence.deadline <= now]
        for sequence in late:
            if not sequence.channel.cancelled:
                step.outputs.append((sequence.channel, DeadlineExceeded()))
                sequence.stats.reason = "deadline"
            sequence.channel.cancelled = True
        step.finished += [(sequence.stats, sequence.channel.ending) for sequence in late]
        self._release([each for each in scheduler.writing if each.channel.cancelled], step)

    def _read(self, prefill: Prefill, step: StepStats) -> None:
        scores = prefill.contexts[0].scores
        if scores is None:
            logits = self.runner.prefill(prefill.row, prefill.start, prefill.pieces)
        else:
            for logits in self.runner.score(prefill.row, prefill.start, prefill.pieces[0]):
                scores.add(logits)
            logits = logits[-1:]
        for context, row in zip(prefill.contexts, logits, strict=True):
            context.logits = row.copy()
        with self._lock:
            arrived = self.scheduler.has_read(prefill)
        if not arrived:
            return
        found, rows = list[Floats](), list[Rows[int]]()
        for job in arrived:
            step.prompt_tokens += len(job.prompts[0].tokens)
            step.cache_queries += sum(len(prompt.tokens) for prompt in job.prompts)
            step.cache_hits += sum(prompt.reused for prompt in job.prompts)
            for _ in job.sequences:  # each with rows of its own: drawing spoils them
                rows.append(range(len(found), len(found) + len(job.prompts)))
                found += [prompt.logits for prompt in job.prompts if prompt.logits is not None]
            for prompt in job.prompts:
                prompt.logits = prompt.scores = None
        self._extend([sequence for job in arrived for sequence in job.sequences], np.stack(found), rows, step)

    def _write(self, step: StepStats) -> None:
        decoding, writing = self.scheduler.decoding, self.scheduler.writing
        logits = self.runner.decode(
            [context.tokens[-1] for context in decoding], [context.cached for context in decoding]
        )
        for context in decoding:
            context.cached += 1
        self._extend(writing, logits, [[context.row for context in each.contexts] for each in writing], step)

    def _extend(self, sequences: list[Sequence], logits: Floats, rows: Iterable[Rows[int]], step: StepStats) -> None:
        """Draws a token for each sequence, from its rows of the logits; those that end give their rows back."""
        turns = [sequence.turn(logits, own) for sequence, own in zip(sequences, rows, strict=True)]
        for sequence, token in zip(sequences, self._drawing.draw(logits, turns), strict=True):
            try:
                chunk = sequence.extend(token)
            except FloatingPointError as error:
                sequence.finished = True
                sequence.stats.reason = "failed"
                step.outputs.append((sequence.channel, EngineError(f"the model failed: {error}")))
                continue
            step.sampled.append(sequence.stats)
            if chunk is not None:
                self.written += len(chunk.token_ids)
                sequence.stats.generated += len(chunk.token_ids)
                step.outputs.append((sequence.channel, chunk))
        with self._lock:
            self._release([sequence for sequence in sequences if sequence.finished], step)

    def _release(self, sequences: list[Sequence], step: StepStats) -> None:
        now = time.monotonic()
        self._durations.extend(now - sequence.stats.scheduled_at for sequence in sequences)
        step.finished += [(sequence.stats, sequence.channel.ending) for sequence in sequences]
        self.scheduler.release(sequences)
