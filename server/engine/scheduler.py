"""Who is read and who is written next: continuous batching in the manner of vLLM (Kwon et al. 2023, arXiv:2309.06180).

The rows of the sequences that are being written lie at the front of the cache without a gap. Behind them lie those of
the jobs that arrive, as one block: their prompts are read, in one piece or over several steps, and when the last one is
read the whole block joins the rows before it. No other block begins before.
"""

from dataclasses import dataclass

from server.engine.fair_queue import Waiting
from server.engine.model.cache import BLOCK, Cache, whole_blocks
from server.engine.prefix_cache import Prefixes
from server.engine.sequence import Context, Job, Sequence

MOST_PREFILL = 512
"""Tokens that are read in one step at most, padding included."""

LEAST_PREFILL = 32
"""Tokens that are read in one step at least, however few rows are being written."""

FAR_BACK = 512
"""A token behind so many others takes about twice as long to read as the first ones of a prompt."""


@dataclass(frozen=True)
class Prefill:
    """Prompts, or a piece of one, to be read in one run into the rows from `row` on, which hold `start` tokens."""

    contexts: list[Context]
    start: int
    tokens: int

    @property
    def row(self) -> int:
        """The first of the rows."""
        return self.contexts[0].row

    @property
    def pieces(self) -> list[list[int]]:
        """The tokens to read into each row."""
        return [context.tokens[self.start : self.start + self.tokens] for context in self.contexts]


class Scheduler:
    """Gives out the rows of a cache: `rows` of them to sequences, those behind them to prompts that are kept."""

    def __init__(self, cache: Cache, waiting: Waiting, rows: int, kept: int) -> None:
        self.rows = rows
        self.waiting = waiting
        self.arriving: list[Job] = []
        self.writing: list[Sequence] = []
        self.decoding: list[Context] = []
        self.prefixes = Prefixes(cache, rows, kept)
        self._cache = cache

    @property
    def running(self) -> int:
        """How many sequences are being read for or written."""
        return len(self.sequences)

    @property
    def sequences(self) -> list[Sequence]:
        """Those that are being read for or written."""
        return [*self.writing, *(sequence for job in self.arriving for sequence in job.sequences)]

    @property
    def cached(self) -> int:
        """How many tokens the cache holds of them."""
        arriving = [prompt for job in self.arriving for prompt in job.prompts]
        return sum(context.cached for context in (*self.decoding, *arriving))

    def of(self, client: str) -> int:
        """How many of them a client has."""
        return sum(each.client == client and not each.channel.cancelled for each in self.sequences)

    @property
    def free(self) -> int:
        """How many rows no job has."""
        return self.rows - len(self.decoding) - sum(job.rows for job in self.arriving)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.arriving or self.decoding)

    def next_prefill(self) -> Prefill | None:
        """What to read in this step, if anything."""
        if self.arriving and all(job.abandoned for job in self.arriving):
            for job in self.arriving:
                job.end("cancelled")
            self.arriving = []
        budget = self._budget()
        if not self.arriving and not self._admit(budget):
            return None
        unread = [context for job in self.arriving for context in job.prompts if context.unread]
        longest = whole_blocks(max(context.unread for context in unread))
        alone = any(context.cached or context.scores for context in unread)
        if len(unread) > 1 and not alone and longest * len(unread) <= budget:
            return Prefill(unread, 0, longest)
        start = unread[0].cached
        if self.decoding:  # attention to what lies before a token counts, too
            budget = max(BLOCK, budget * FAR_BACK // (FAR_BACK + start) // BLOCK * BLOCK)
        return Prefill(unread[:1], start, min(whole_blocks(unread[0].unread), budget))

    def has_read(self, prefill: Prefill) -> list[Job]:
        """Notes what was read; the jobs that arrived with it, whose sequences have their contexts now."""
        for context in prefill.contexts:
            context.cached = min(context.cached + prefill.tokens, len(context.tokens))
            if not context.unread:
                self.prefixes.keep(context.tokens, context.row)
        if any(context.unread for job in self.arriving for context in job.prompts):
            return []
        arrived, self.arriving = self.arriving, []
        for job in arrived:
            self._join(job)
        return arrived

    def release(self, finished: list[Sequence]) -> None:
        """Frees the rows of sequences that have ended; the last rows move into the gaps."""
        for sequence in finished:
            self.writing.remove(sequence)
        for row in sorted((context.row for sequence in finished for context in sequence.contexts), reverse=True):
            context = self.decoding.pop()
            if row < len(self.decoding):
                self._move(context, row)
                self.decoding[row] = context

    def clear(self) -> list[Sequence]:
        """Forgets what was being read and written, and what was kept; the sequences that were."""
        sequences = self.sequences
        self.arriving, self.writing, self.decoding = [], [], []
        self.prefixes.clear()
        return sequences

    def _budget(self) -> int:
        """Tokens to read in this step, so that nobody's next token is late by much more than a step.

        As many rows of a prompt take about as long as so many rows that are written: a few more than those are read,
        and more the more jobs wait, since a step with more rows in it is worth more to all.
        """
        if not self.decoding:
            return MOST_PREFILL
        fair = max(whole_blocks(2 * len(self.decoding)), LEAST_PREFILL * len(self.waiting), LEAST_PREFILL)
        return min(fair, MOST_PREFILL)

    def _admit(self, budget: int) -> bool:
        """Begins a block: the job whose turn it is, and those behind it that can be read along with it at once."""
        free = self.rows - len(self.decoding)
        tokens = prompts = 0
        while (job := self.waiting.first()) is not None:
            if job.rows > free:
                break
            scored = any(prompt.scores for prompt in job.prompts)
            # Each token's logits are wanted where a prompt is scored: all of it is read.
            found = [(0, 0) if prompt.scores else self.prefixes.find(prompt.tokens) for prompt in job.prompts]
            reused = any(length for _, length in found)
            tokens = max(tokens, *(whole_blocks(len(prompt.tokens)) for prompt in job.prompts))
            prompts += len(job.prompts)
            alone = reused or scored or len(job.sequences) > 1
            if self.arriving and (alone or tokens * prompts > budget):
                break
            self.waiting.begin()
            for prompt, (row, length) in zip(job.prompts, found, strict=True):
                prompt.row = self.rows - free
                self._cache.copy(row, prompt.row, length)
                prompt.cached = prompt.reused = length
                free -= 1
            self.arriving.append(job)
            if alone:
                break
        return bool(self.arriving)

    def _join(self, job: Job) -> None:
        """Gives each sequence of a job the rows behind the last: those that were read to the first, to others copies.

        Sequences may have ended since the block was laid out; it closes up to the rows that are left, from its front.
        """
        for number, sequence in enumerate(job.sequences):
            for prompt in job.prompts:
                row, context = len(self.decoding), prompt
                if number:
                    context = Context(list(prompt.tokens), prompt.cached, row)
                    self._cache.copy(prompt.row, row, prompt.cached)
                else:
                    self._move(prompt, row)
                sequence.contexts.append(context)
                self.decoding.append(context)
            self.writing.append(sequence)

    def _move(self, context: Context, row: int) -> None:
        self._cache.copy(context.row, row, context.cached)
        context.row = row
