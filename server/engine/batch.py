"""What is read and written together, and the step that all of it takes."""

import threading
import time
from collections import deque

from server.engine.errors import DeadlineExceeded, EngineError
from server.engine.runner import Runner
from server.engine.scheduler import Prefill, Scheduler
from server.engine.sequence import Logits, Sequence
from server.engine.stream import Channel, Item, deliver
from server.engine.waiting import Waiting

FIRST_GUESS = 5.0
"""Seconds that a queue takes to clear, before anything is known."""


class Batch:
    """A session with its cache, and the sequences in it. One thread calls `step`.

    lock: held wherever the scheduler changes, so that others can look. written: tokens so far.
    """

    def __init__(self, runner: Runner, waiting: Waiting, rows: int, kept: int, lock: threading.Condition) -> None:
        self.runner = runner
        self.scheduler = Scheduler(runner.cache, waiting, rows, kept)
        self.written = 0
        self._lock = lock
        self._durations: deque[float] = deque(maxlen=64)

    @property
    def seconds_to_clear(self) -> float:
        """In how many seconds those that wait now will have begun, if sequences take as long as the last ones did."""
        if not self._durations:
            return FIRST_GUESS
        mean = sum(self._durations) / len(self._durations)
        return len(self.scheduler.waiting) * mean / max(self.scheduler.running, 1)

    def step(self) -> None:
        """Reads a piece of what arrives and writes a token of each sequence: schedule, run, sample, deliver.

        Whatever it raises, the cache is not to be trusted afterwards.
        """
        sent: list[tuple[Channel, Item]] = []
        try:
            with self._lock:
                self._release_those_who_leave(sent)
                prefill = self.scheduler.next_prefill()
            if prefill is not None:
                self._read(prefill, sent)
            if self.scheduler.decoding:
                self._write(sent)
        finally:  # a sequence that ended before an error is known to nobody afterwards
            deliver(sent)

    def fail(self, error: EngineError) -> None:
        """Ends what is being read and written with an error."""
        with self._lock:
            failed = self.scheduler.clear()
        deliver((sequence.channel, error) for sequence in failed)

    def _release_those_who_leave(self, sent: list[tuple[Channel, Item]]) -> None:
        """Those who were cancelled, and those whose time is over, wherever they are."""
        scheduler, now = self.scheduler, time.monotonic()
        late = [sequence for job in scheduler.waiting.remove_late(now) for sequence in job.sequences]
        late += [sequence for sequence in scheduler.writing if sequence.deadline <= now]
        sent += [(sequence.channel, DeadlineExceeded()) for sequence in late if not sequence.channel.cancelled]
        for sequence in late:
            sequence.channel.cancelled = True
        self._release([each for each in scheduler.writing if each.channel.cancelled])

    def _read(self, prefill: Prefill, sent: list[tuple[Channel, Item]]) -> None:
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
        for job in arrived:
            prompts = [prompt.logits for prompt in job.prompts if prompt.logits is not None]
            self._extend([(sequence, prompts) for sequence in job.sequences], sent)
            for prompt in job.prompts:
                prompt.logits = prompt.scores = None

    def _write(self, sent: list[tuple[Channel, Item]]) -> None:
        decoding = self.scheduler.decoding
        logits = self.runner.decode(
            [context.tokens[-1] for context in decoding], [context.cached for context in decoding]
        )
        for context in decoding:
            context.cached += 1
        self._extend(
            [(sequence, [logits[context.row] for context in sequence.contexts]) for sequence in self.scheduler.writing],
            sent,
        )

    def _extend(self, drawing: list[tuple[Sequence, list[Logits]]], sent: list[tuple[Channel, Item]]) -> None:
        """Draws a token for each sequence, from the logits of its contexts; those that end give their rows back."""
        for sequence, logits in drawing:
            try:
                chunk = sequence.extend(logits)
            except FloatingPointError as error:
                sequence.finished = True
                sent.append((sequence.channel, EngineError(f"the model failed: {error}")))
                continue
            if chunk is not None:
                self.written += len(chunk.token_ids)
                sent.append((sequence.channel, chunk))
        with self._lock:
            self._release([sequence for sequence, _ in drawing if sequence.finished])

    def _release(self, sequences: list[Sequence]) -> None:
        now = time.monotonic()
        self._durations.extend(now - sequence.began for sequence in sequences)
        self.scheduler.release(sequences)
