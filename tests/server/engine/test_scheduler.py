"""The scheduler, under any order of events, on a symbolic cache."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.engine.fair_queue import FairQueue
from server.engine.model.cache import BLOCK
from server.engine.prefix_cache import MIN_BLOCKS, OWNER, WIDTH
from server.engine.sampling.prompt_logprobs import PromptLogprobs
from server.engine.scheduler import MAX_PREFILL_TOKENS, MIN_PREFILL_TOKENS, Prefill, Scheduler
from server.engine.sequence import CacheRow, Sequence, SequenceGroup
from server.engine.stats import Observer, SequenceStats
from server.engine.stream import Channel
from tests.server.engine.symbolic import SymbolicCache, history

CONTEXT = 600
MOST_LOGITS = 6 * BLOCK
LONG_ENOUGH = 20_000
"""Every request of a test must end within this number of steps."""


def prompt_of(story: int, shared: int, length: int) -> list[int]:
    """Return a prompt of `length` tokens. It shares the first `shared` with other prompts of the story."""
    return [story] * min(shared, length) + list(range(100, 100 + length - shared))


whole = st.integers(1, 6).map(lambda blocks: blocks * BLOCK)
lengths = st.one_of(whole, st.integers(1, 40), st.integers(1, 100), st.integers(1, CONTEXT - 1))
prompts = st.builds(prompt_of, st.integers(1, 2), st.one_of(whole, lengths), lengths)


class Continuation(Sequence):
    """A sequence of `wanted` tokens, each computed from the cells of its rows. The last one ends it."""

    def __init__(self, wanted: int, client: str) -> None:
        self.client = client
        self.rows: list[CacheRow] = []
        self.channel = Channel()
        self.stats = SequenceStats(Observer())
        self.finished = False
        self.wanted = self.limit = wanted
        self.drawn = 0
        self.prompts: list[list[int]] = []

    def draw(self, cells: list[int]) -> None:
        """Do the same as `Sequence.append`, and check that `cells` are the same as in a run alone."""
        assert not self.finished
        assert cells == [history(row.tokens)[-1] for row in self.rows]
        self.drawn += 1
        self.finished = self.drawn == self.wanted
        if not self.finished:
            for row in self.rows:
                row.tokens.append(cells[0] % 97)


def continuation(sequence: Sequence) -> Continuation:
    assert isinstance(sequence, Continuation)
    return sequence


class Scheduling(RuleBasedStateMachine):
    """Plays the engine's part, as in `Batch.step`."""

    @initialize(rows=st.integers(1, 6), kept=st.integers(0, 3))
    def begin(self, rows: int, kept: int) -> None:
        self.rows, self.kept = rows, kept
        self.cache = SymbolicCache(rows + kept, CONTEXT)
        self.scheduler = Scheduler(self.cache, FairQueue(), rows, kept, MOST_LOGITS)
        self.sequences: list[Continuation] = []
        self.served: list[SequenceGroup] = []
        self.last: dict[int, int] = {}
        self.submitted: list[SequenceGroup] = []

    @rule(
        prompt=prompts,
        against=st.one_of(st.none(), prompts),
        wanted=st.lists(st.one_of(st.integers(1, 5), st.integers(1, 60)), min_size=1, max_size=3),
        client=st.sampled_from("abc"),
        scored=st.booleans(),
    )
    def submit(
        self, prompt: list[int], against: list[int] | None, wanted: list[int], client: str, scored: bool
    ) -> None:
        given = [prompt] if against is None or self.rows == 1 else [prompt, against]
        limit = CONTEXT - max(map(len, given))
        sequences = [Continuation(min(each, limit), client) for each in wanted[: self.rows // len(given)]]
        for sequence in sequences:
            sequence.prompts = given
        self.sequences += sequences
        rows = [CacheRow(list(each)) for each in given]
        rows[0].logprobs = PromptLogprobs(prompt, 0, 1) if scored else None
        for sequence in sequences:
            sequence.cost = sum(map(len, given)) / len(sequences) + sequence.wanted * len(given)
        self.submitted.append(SequenceGroup(rows, list(sequences)))
        self.scheduler.queue.append(self.submitted[-1])

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        data.draw(st.sampled_from(self.sequences)).channel.abandon()

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def abandon(self, data: Any) -> None:
        for sequence in data.draw(st.sampled_from(self.submitted)).sequences:
            sequence.channel.abandon()

    @precondition(lambda self: not self.scheduler.idle)
    @rule(count=st.integers(1, 10))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.one_step()

    @rule()
    def fail(self) -> None:
        """End running sequences, keep queued ones, and make every cell invalid."""
        prefilling = [sequence for group in self.scheduler.prefilling for sequence in group.sequences]
        over = [*self.scheduler.decoding, *prefilling]
        assert self.scheduler.clear() == over
        for sequence in map(continuation, over):
            sequence.finished = True
        self.cache.cells = [[None] * self.cache.capacity for _ in self.cache.cells]

    def one_step(self) -> None:
        scheduler = self.scheduler
        scheduler.release([each for each in scheduler.decoding if each.channel.status.final])
        self.check()
        writing, waiting = len(scheduler.decoding_rows), len(scheduler.queue)
        prefill = scheduler.next_prefill()
        self.check()
        if prefill is not None:
            self.check_prefill(prefill, writing, waiting)
            self.read(prefill)
        if scheduler.decoding_rows:
            self.write()
        self.check()

    def check_prefill(self, prefill: Prefill, writing: int, waiting: int) -> None:
        width = self.cache.whole_blocks(max(map(len, prefill.pieces)))
        most = (
            max(self.cache.whole_blocks(2 * writing), MIN_PREFILL_TOKENS, MIN_PREFILL_TOKENS * waiting)
            if writing
            else MAX_PREFILL_TOKENS
        )
        assert width * len(prefill.pieces) <= min(most, MAX_PREFILL_TOKENS)
        assert all((row.logprobs is not None) == prefill.all_logits for row in prefill.rows)
        assert len(prefill.rows) == 1 or not prefill.all_logits or width * len(prefill.pieces) <= MOST_LOGITS
        assert [row.index for row in prefill.rows] == [
            prefill.rows[0].index + line for line in range(len(prefill.rows))
        ]
        for row in prefill.rows:
            assert row.cached == prefill.start
            assert row.cached + prefill.length >= len(row.tokens) or prefill.length % BLOCK == 0

    def read(self, prefill: Prefill) -> None:
        cells = self.cache.prefill(prefill.rows[0].index, prefill.start, prefill.pieces)
        last = {id(row): cell for row, cell in zip(prefill.rows, cells, strict=True)}
        self.last |= last
        arrived = self.scheduler.finish_prefill(prefill)
        self.check()
        for group in arrived:
            assert group not in self.served, "a group starts only once"
            self.served.append(group)
            prompt_cells = [self.last[id(prompt)] for prompt in group.prompts]
            for prompt in group.prompts:
                prompt.logprobs = None
            for sequence in map(continuation, group.sequences):
                assert [row.tokens for row in sequence.rows] == sequence.prompts
                sequence.draw(prompt_cells)
        self.scheduler.release([each for group in arrived for each in group.sequences if continuation(each).finished])

    def write(self) -> None:
        decoding = self.scheduler.decoding_rows
        cells = self.cache.decode([each.tokens[-1] for each in decoding], [each.cached for each in decoding])
        for row in decoding:
            row.cached += 1
        for sequence in map(continuation, self.scheduler.decoding):
            sequence.draw([cells[row.index] for row in sequence.rows])
        self.scheduler.release([each for each in self.scheduler.decoding if continuation(each).finished])

    @invariant()
    def check(self) -> None:
        self.check_rows()
        self.check_kept()
        self.check_places()

    def check_rows(self) -> None:
        """Each row belongs to one sequence at most, in order, and has the cells of a run alone."""
        scheduler = self.scheduler
        assert [row.index for row in scheduler.decoding_rows] == list(range(len(scheduler.decoding_rows)))
        of_sequences = [row for sequence in scheduler.decoding for row in sequence.rows]
        assert sorted(map(id, of_sequences)) == sorted(map(id, scheduler.decoding_rows))
        prefilling = [prompt for group in scheduler.prefilling for prompt in group.prompts]
        rows = [row.index for row in (*scheduler.decoding_rows, *prefilling)]
        assert len(set(rows)) == len(rows)
        assert all(0 <= row < self.rows for row in rows)
        assert (
            0
            <= scheduler.free_rows
            == self.rows - len(of_sequences) - sum(group.rows for group in scheduler.prefilling)
        )
        for row in scheduler.decoding_rows:
            assert row.cached == len(row.tokens) - 1 or row.cached == len(row.tokens)
        for row in (*scheduler.decoding_rows, *prefilling):
            assert self.cache.holds(row.index, row.tokens[: row.cached])

    def check_kept(self) -> None:
        """Kept prompts are in rows behind all sequences; none is a prefix of another of its client."""
        kept = self.scheduler.prefix_cache._prompts
        assert sorted([*kept, *self.scheduler.prefix_cache._free]) == list(range(self.rows, self.rows + self.kept))
        known = {row: (key[:OWNER], np.frombuffer(key[OWNER:], f"i{WIDTH}").tolist()) for row, key in kept.items()}
        for row, (client, tokens) in known.items():
            assert len(tokens) >= MIN_BLOCKS * BLOCK
            assert len(tokens) % BLOCK == 0
            assert self.cache.holds(row, tokens)
            others = [other for at, (owner, other) in known.items() if at != row and owner == client]
            assert not any(other[: len(tokens)] == tokens for other in others)

    def check_places(self) -> None:
        """Each unfinished sequence with a reader is in one place: queued, in prefill or in decode."""
        groups = [*self.scheduler.queue, *self.scheduler.prefilling]
        places = [*self.scheduler.decoding, *(sequence for group in groups for sequence in group.sequences)]
        assert len(set(map(id, places))) == len(places)
        for sequence in self.sequences:
            if not (sequence.finished or sequence.channel.status.final):
                assert sequence in places
        assert len(self.scheduler.running) == len(places) - sum(len(group.sequences) for group in self.scheduler.queue)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for _ in range(LONG_ENOUGH):
            if self.scheduler.idle:
                break
            self.one_step()
        assert self.scheduler.idle
        assert all(sequence.finished or sequence.channel.status.final for sequence in self.sequences)
        assert self.scheduler.free_rows == self.rows


Scheduling.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
TestScheduling = Scheduling.TestCase
