"""Continuous batching: chooses the next prefill and the rows to decode.

It schedules each step anew, as Orca does (Yu et al. 2022). Unlike vLLM, it has neither paged attention nor preemption:
a row is one contiguous piece of the KV cache, and a sequence keeps its rows until it ends. The decoding rows are at the
front of the cache, without a gap. The prefilling rows come behind them. Their prompts are prefilled together in one
run, or piece by piece over several steps. After the last piece all of them join the decoding rows, and only then do the
next prompts begin.
"""

from dataclasses import dataclass

from server.engine.fair_queue import FairQueue
from server.engine.model.cache import Cache
from server.engine.prefix_cache import PrefixCache
from server.engine.sequence import CacheRow, Sequence, SequenceGroup

MAX_PREFILL_TOKENS = 512
"""The most tokens to prefill in one step, padding included."""

MIN_PREFILL_TOKENS = 32
"""The smallest budget of prefill tokens in one step, for each queued group."""

DOUBLE_COST_AT = 512
"""Prefill of a token at this position takes about twice as long as at the start of a prompt."""


@dataclass(frozen=True)
class Prefill:
    """One prefill run: several whole prompts, or a piece of one prompt.

    Attributes:
        rows: the row of each prompt. All of them want prompt logprobs, or none.
        start: the number of tokens already in each row's cache.
        length: the number of tokens to prefill in each row, padding included.
    """

    rows: list[CacheRow]
    start: int
    length: int

    @property
    def pieces(self) -> list[list[int]]:
        """The tokens to prefill in each row, without padding."""
        return [row.tokens[self.start : self.start + self.length] for row in self.rows]

    @property
    def all_logits(self) -> bool:
        """True if the logits after each token are needed, for prompt logprobs."""
        return self.rows[0].logprobs is not None


class Scheduler:
    """Assigns the first `rows` rows of the KV cache to sequences, the next `kept` to the prefix cache.

    Args:
        most_logits: the most tokens to prefill together if the logits of each are needed, padding included.

    Attributes:
        prefilling: the groups in prefill. Their rows are behind the decoding rows.
        decoding: the sequences in decode.
        decoding_rows: their rows; row i of the cache is at index i.
    """

    def __init__(self, cache: Cache, queue: FairQueue, rows: int, kept: int, most_logits: int) -> None:
        self.rows = rows
        self.queue = queue
        self.prefilling: list[SequenceGroup] = []
        self.decoding: list[Sequence] = []
        self.decoding_rows: list[CacheRow] = []
        self.prefix_cache = PrefixCache(cache, rows, kept)
        self._cache = cache
        self._most_logits = most_logits

    @property
    def running(self) -> list[Sequence]:
        """All sequences in decode and in prefill."""
        return [*self.decoding, *(sequence for group in self.prefilling for sequence in group.sequences)]

    @property
    def cached_tokens(self) -> int:
        """The number of tokens in the cache, of all running sequences."""
        prompts = [prompt for group in self.prefilling for prompt in group.prompts]
        return sum(row.cached for row in (*self.decoding_rows, *prompts))

    @property
    def free_rows(self) -> int:
        """The number of rows without a sequence."""
        return self.rows - len(self.decoding_rows) - sum(group.rows for group in self.prefilling)

    @property
    def idle(self) -> bool:
        """True if nothing is queued or running."""
        return not (self.queue or self.prefilling or self.decoding_rows)

    def count(self, client: str) -> int:
        """Return the number of a client's running sequences."""
        return sum(each.client == client and not each.channel.status.final for each in self.running)

    def next_prefill(self) -> Prefill | None:
        """Return the prefill run of this step, None if there is nothing to prefill.

        All prompts run together if they are new and fit into the budget. Otherwise the first unfinished one runs, or as
        large a piece of it as fits.
        """
        if self.prefilling and all(group.cancelled for group in self.prefilling):
            for group in self.prefilling:
                group.finish_cancelled()
                self.queue.settle(group.sequences)
            self.prefilling = []
        budget = self._prefill_budget()
        if not self.prefilling and not self._start_prefill(budget):
            return None
        unfinished = [row for group in self.prefilling for row in group.prompts if row.uncached]
        padded_length = self._cache.whole_blocks(max(row.uncached for row in unfinished))
        begun = any(row.cached for row in unfinished)
        if len(unfinished) > 1 and not begun and self._fit_together(unfinished, padded_length, budget):
            return Prefill(unfinished, 0, padded_length)
        first = unfinished[0]
        if self.decoding_rows:  # later tokens of a prompt attend to more, and take longer
            budget = budget * DOUBLE_COST_AT // (DOUBLE_COST_AT + first.cached)
        block_size = self._cache.block_size
        most = max(block_size, budget // block_size * block_size)
        return Prefill([first], first.cached, min(self._cache.whole_blocks(first.uncached), most))

    def finish_prefill(self, prefill: Prefill) -> list[SequenceGroup]:
        """Record a finished prefill run. Return the groups that are complete; their sequences now decode."""
        for row in prefill.rows:
            row.cached = min(row.cached + prefill.length, len(row.tokens))
        if any(row.uncached for group in self.prefilling for row in group.prompts):
            return []
        complete, self.prefilling = self.prefilling, []
        for group in complete:
            for row in group.prompts:
                if not group.only_scored:  # nobody goes on from it
                    self.prefix_cache.store(row.tokens, row.index, group.client)
        for group in complete:
            self._start_decoding(group)
        return complete

    def release(self, finished: list[Sequence]) -> None:
        """Free the rows of ended sequences, and move the last decoding rows into the gaps."""
        self.queue.settle(finished)
        for sequence in finished:
            self.decoding.remove(sequence)
        # Fill the last gap first: then the last row is never one of the ended ones, unless it is the gap itself.
        for gap in sorted((row.index for sequence in finished for row in sequence.rows), reverse=True):
            last = self.decoding_rows.pop()
            if gap < len(self.decoding_rows):
                self._move(last, gap)
                self.decoding_rows[gap] = last

    def clear(self) -> list[Sequence]:
        """Drop and return all running sequences, and empty the prefix cache."""
        running = self.running
        self.queue.settle(running)
        self.prefilling, self.decoding, self.decoding_rows = [], [], []
        self.prefix_cache.clear()
        return running

    def _prefill_budget(self) -> int:
        """Return the most tokens to prefill in this step.

        Prefill of n tokens takes about as long as decode of n rows. So a budget of twice the decoding rows makes a step
        about three times as long. A longer queue gets a larger budget: running texts then wait longer for a token, but
        a fuller batch generates more tokens per second.
        """
        if not self.decoding_rows:
            return MAX_PREFILL_TOKENS
        fair = max(self._cache.whole_blocks(2 * len(self.decoding_rows)), MIN_PREFILL_TOKENS * max(len(self.queue), 1))
        return min(fair, MAX_PREFILL_TOKENS)

    def _fit_together(self, rows: list[CacheRow], padded_length: int, budget: int) -> bool:
        """Return True if one run can prefill these prompts: all of them with all logits, or none."""
        scored = [row.logprobs is not None for row in rows]
        most = min(budget, self._most_logits) if any(scored) else budget
        return all(scored) == any(scored) and padded_length * len(rows) <= most

    def _start_prefill(self, budget: int) -> bool:
        """Start the first group in the queue, and the next ones if they fit into the same run.

        Return False if none has started. Call it only while no group is in prefill.
        """
        next_row = len(self.decoding_rows)
        padded_length = 0
        rows: list[CacheRow] = []
        while (group := self.queue.peek()) is not None:
            if group.rows > self.rows - next_row:
                break
            # Prompt logprobs need the logits of every token, so the prefix cache is of no use to them.
            hits = [
                (0, 0) if row.logprobs else self.prefix_cache.find(row.tokens, group.client) for row in group.prompts
            ]
            reuses = any(length for _, length in hits)
            longest = max(len(prompt.tokens) for prompt in group.prompts)
            padded_length = max(padded_length, self._cache.whole_blocks(longest))
            rows += group.prompts
            # A joint run begins at position 0. Copies for more sequences need free rows.
            alone = reuses or len(group.sequences) > 1
            if self.prefilling and (alone or not self._fit_together(rows, padded_length, budget)):
                break
            self.queue.pop()
            for prompt, (source, length) in zip(group.prompts, hits, strict=True):
                prompt.index = next_row
                self._cache.copy(source, prompt.index, length)
                prompt.cached = prompt.cache_hits = length
                next_row += 1
            self.prefilling.append(group)
            if alone:
                break
        return bool(self.prefilling)

    def _start_decoding(self, group: SequenceGroup) -> None:
        """Append a group's sequences to the decoding rows.

        The first sequence takes over the prompts' rows, the others get copies. The prompts move forward if decoding
        sequences have ended during the prefill.
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
