"""Continuous batching: chooses the next prefill and the rows to decode.

It follows vLLM (Kwon et al. 2023, arXiv:2309.06180). The rows of decoding sequences lie at the front of the cache
without a gap. Behind them lie the rows of the groups in prefill, as one block: their prompts are read in one run, or in
pieces over several steps, and after the last piece the whole block joins the decoding rows. The next block begins only
then.
"""

from dataclasses import dataclass

from server.engine.fair_queue import FairQueue
from server.engine.model.cache import BLOCK, Cache, whole_blocks
from server.engine.prefix_cache import PrefixCache
from server.engine.sequence import CacheRow, Sequence, SequenceGroup

MAX_PREFILL_TOKENS = 512
"""The most tokens to prefill in one step, padding included."""

MIN_PREFILL_TOKENS = 32
"""The fewest tokens to allow a prefill in one step, however few rows are decoding."""

FAR_BACK = 512
"""A token behind so many others takes about twice as long to prefill as the first ones of a prompt."""


@dataclass(frozen=True)
class Prefill:
    """One run over prompts, or over a piece of one.

    rows: one for each prompt. start: tokens that they hold already. length: tokens to read into each, padding included.
    """

    rows: list[CacheRow]
    start: int
    length: int

    @property
    def first_row(self) -> int:
        """The number of the first row; the others follow it."""
        return self.rows[0].index

    @property
    def pieces(self) -> list[list[int]]:
        """The tokens for each row."""
        return [row.tokens[self.start : self.start + self.length] for row in self.rows]


class Scheduler:
    """Gives the rows of a cache to sequences, and the `kept` rows behind them to the prefix cache."""

    def __init__(self, cache: Cache, queue: FairQueue, rows: int, kept: int) -> None:
        self.rows = rows
        self.queue = queue
        self.prefilling: list[SequenceGroup] = []
        self.decoding: list[Sequence] = []
        self.decoding_rows: list[CacheRow] = []
        self.prefix_cache = PrefixCache(cache, rows, kept)
        self._cache = cache

    @property
    def running(self) -> list[Sequence]:
        """The sequences in decode and in prefill."""
        return [*self.decoding, *(sequence for group in self.prefilling for sequence in group.sequences)]

    @property
    def cached_tokens(self) -> int:
        """The number of their tokens in the cache."""
        prompts = [prompt for group in self.prefilling for prompt in group.prompts]
        return sum(row.cached for row in (*self.decoding_rows, *prompts))

    @property
    def free_rows(self) -> int:
        """The number of rows without a sequence."""
        return self.rows - len(self.decoding_rows) - sum(group.rows for group in self.prefilling)

    @property
    def idle(self) -> bool:
        """True when nothing is queued or running."""
        return not (self.queue or self.prefilling or self.decoding_rows)

    def count(self, client: str) -> int:
        """The number of a client's running sequences."""
        return sum(each.client == client and not each.channel.status.final for each in self.running)

    def next_prefill(self) -> Prefill | None:
        """The prefill of this step, if there is one."""
        if self.prefilling and all(group.cancelled for group in self.prefilling):
            for group in self.prefilling:
                group.finish_cancelled()
                self.queue.finish(group.sequences)
            self.prefilling = []
        budget = self._prefill_budget()
        if not self.prefilling and not self._start_prefill(budget):
            return None
        rows = [row for group in self.prefilling for row in group.prompts if row.uncached]
        longest = whole_blocks(max(row.uncached for row in rows))
        alone = any(row.cached or row.logprobs for row in rows)
        if len(rows) > 1 and not alone and longest * len(rows) <= budget:
            return Prefill(rows, 0, longest)
        start = rows[0].cached
        if self.decoding_rows:  # attention to what lies before a token counts, too
            budget = max(BLOCK, budget * FAR_BACK // (FAR_BACK + start) // BLOCK * BLOCK)
        return Prefill(rows[:1], start, min(whole_blocks(rows[0].uncached), budget))

    def finish_prefill(self, prefill: Prefill) -> list[SequenceGroup]:
        """Records a prefill. Returns the groups that it completed, whose sequences have their rows now."""
        for row in prefill.rows:
            row.cached = min(row.cached + prefill.length, len(row.tokens))
            if not row.uncached:
                self.prefix_cache.store(row.tokens, row.index)
        if any(row.uncached for group in self.prefilling for row in group.prompts):
            return []
        complete, self.prefilling = self.prefilling, []
        for group in complete:
            self._start_decoding(group)
        return complete

    def release(self, finished: list[Sequence]) -> None:
        """Frees the rows of decoding sequences that have ended; the last rows move into the gaps."""
        self.queue.finish(finished)
        for sequence in finished:
            self.decoding.remove(sequence)
        for gap in sorted((row.index for sequence in finished for row in sequence.rows), reverse=True):
            last = self.decoding_rows.pop()
            if gap < len(self.decoding_rows):
                self._move(last, gap)
                self.decoding_rows[gap] = last

    def clear(self) -> list[Sequence]:
        """Drops all running sequences, and empties the prefix cache. Returns the sequences."""
        running = self.running
        self.queue.finish(running)
        self.prefilling, self.decoding, self.decoding_rows = [], [], []
        self.prefix_cache.clear()
        return running

    def _prefill_budget(self) -> int:
        """The most tokens to prefill in this step.

        No decoding row is to wait much longer than one step. Prefill of n tokens takes about as long as decode of n
        rows. So the budget is a few more tokens than there are decoding rows, and grows with the queue, since a step
        with more rows in it is worth more to all.
        """
        if not self.decoding_rows:
            return MAX_PREFILL_TOKENS
        fair = max(whole_blocks(2 * len(self.decoding_rows)), MIN_PREFILL_TOKENS * len(self.queue), MIN_PREFILL_TOKENS)
        return min(fair, MAX_PREFILL_TOKENS)

    def _start_prefill(self, budget: int) -> bool:
        """Begins a block with the first group of the queue, and the next ones that fit into the same run."""
        free = self.rows - len(self.decoding_rows)
        tokens = prompts = 0
        while (group := self.queue.peek()) is not None:
            if group.rows > free:
                break
            scored = any(prompt.logprobs for prompt in group.prompts)
            # A prompt whose logprobs are asked for is read whole, since the logits of each token are needed.
            found = [(0, 0) if prompt.logprobs else self.prefix_cache.find(prompt.tokens) for prompt in group.prompts]
            hit = any(length for _, length in found)
            tokens = max(tokens, *(whole_blocks(len(prompt.tokens)) for prompt in group.prompts))
            prompts += len(group.prompts)
            alone = hit or scored or len(group.sequences) > 1
            if self.prefilling and (alone or tokens * prompts > budget):
                break
            self.queue.pop()
            for prompt, (source, length) in zip(group.prompts, found, strict=True):
                prompt.index = self.rows - free
                self._cache.copy(source, prompt.index, length)
                prompt.cached = prompt.cache_hits = length
                free -= 1
            self.prefilling.append(group)
            if alone:
                break
        return bool(self.prefilling)

    def _start_decoding(self, group: SequenceGroup) -> None:
        """Gives the sequences of a group rows behind the last one.

        The first sequence gets the prompts' own rows, the others copies. Sequences may have ended since the block was
        laid out, so it closes up to the decoding rows from its front.
        """
        for number, sequence in enumerate(group.sequences):
            for prompt in group.prompts:
                end, row = len(self.decoding_rows), prompt
                if number:
                    row = CacheRow(list(prompt.tokens), prompt.cached, end)
                    self._cache.copy(prompt.index, end, prompt.cached)
                else:
                    self._move(prompt, end)
                sequence.rows.append(row)
                self.decoding_rows.append(row)
            self.decoding.append(sequence)

    def _move(self, row: CacheRow, index: int) -> None:
        self._cache.copy(row.index, index, row.cached)
        row.index = index
