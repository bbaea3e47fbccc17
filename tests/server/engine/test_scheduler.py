"""The scheduler, with everything that can happen to it in any order, on a cache that remembers what it was given."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from server.engine.fair_queue import Waiting
from server.engine.model.cache import BLOCK, whole_blocks
from server.engine.prefix_cache import LEAST, WIDTH
from server.engine.scheduler import LEAST_PREFILL, MOST_PREFILL, Prefill, Scheduler
from server.engine.sequence import Context, Job, Sequence
from server.engine.stats import Observer, SequenceStats
from server.engine.stream import Channel
from tests.server.engine.symbolic import SymbolicCache, history

CONTEXT = 600
LONG_ENOUGH = 20_000
"""Steps in which everything that a test asks for must have ended."""


def prompt_of(story: int, shared: int, length: int) -> list[int]:
    """Of `length` tokens; as many as are `shared` are those of other prompts of the story."""
    return [story] * min(shared, length) + list(range(100, 100 + length - shared))


whole = st.integers(1, 6).map(lambda blocks: blocks * BLOCK)
lengths = st.one_of(whole, st.integers(1, 40), st.integers(1, 100), st.integers(1, CONTEXT - 1))
prompts = st.builds(prompt_of, st.integers(1, 2), st.one_of(whole, lengths), lengths)


class Continuation(Sequence):
    """Draws `wanted` tokens, each from what the contexts' cells say; the last is the end of text or one too many."""

    def __init__(self, wanted: int, client: str) -> None:
        self.client = client
        self.contexts: list[Context] = []
        self.channel = Channel()
        self.stats = SequenceStats(Observer())
        self.finished = False
        self.wanted = wanted
        self.drawn = 0
        self.prompts: list[list[int]] = []

    def draw(self, cells: list[int]) -> None:
        """What `Sequence.extend` does, after a look at whether `cells` are those of a run alone."""
        assert not self.finished
        assert cells == [history(context.tokens)[-1] for context in self.contexts]
        self.drawn += 1
        self.finished = self.drawn == self.wanted
        if not self.finished:
            for context in self.contexts:
                context.tokens.append(cells[0] % 97)


def continuation(sequence: Sequence) -> Continuation:
    assert isinstance(sequence, Continuation)
    return sequence


class Scheduling(RuleBasedStateMachine):
    """Plays the engine's part: see `Engine._step`."""

    @initialize(rows=st.integers(1, 6), kept=st.integers(0, 3))
    def begin(self, rows: int, kept: int) -> None:
        self.rows, self.kept = rows, kept
        self.cache = SymbolicCache(rows + kept, CONTEXT)
        self.scheduler = Scheduler(self.cache, Waiting(), rows, kept)
        self.sequences: list[Continuation] = []
        self.served: list[Job] = []
        self.last: dict[int, int] = {}
        self.submitted: list[Job] = []

    @rule(
        prompt=prompts,
        against=st.one_of(st.none(), prompts),
        wanted=st.lists(st.one_of(st.integers(1, 5), st.integers(1, 60)), min_size=1, max_size=3),
        client=st.sampled_from("abc"),
    )
    def submit(self, prompt: list[int], against: list[int] | None, wanted: list[int], client: str) -> None:
        given = [prompt] if against is None or self.rows == 1 else [prompt, against]
        limit = CONTEXT - max(map(len, given))
        sequences = [Continuation(min(each, limit), client) for each in wanted[: self.rows // len(given)]]
        for sequence in sequences:
            sequence.prompts = given
        self.sequences += sequences
        contexts = [Context(list(each)) for each in given]
        tokens = sum(map(len, given)) + sum(wanted) * len(given)
        self.submitted.append(Job(contexts, list(sequences), tokens))
        self.scheduler.waiting.append(self.submitted[-1])

    @precondition(lambda self: self.sequences)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        data.draw(st.sampled_from(self.sequences)).channel.cancelled = True

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def abandon(self, data: Any) -> None:
        for sequence in data.draw(st.sampled_from(self.submitted)).sequences:
            sequence.channel.cancelled = True

    @precondition(lambda self: not self.scheduler.idle)
    @rule(count=st.integers(1, 10))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.one_step()

    @rule()
    def fail(self) -> None:
        """What was read and written is over, what waits is not, and no cell is worth anything any more."""
        arriving = [sequence for job in self.scheduler.arriving for sequence in job.sequences]
        over = [*self.scheduler.writing, *arriving]
        assert self.scheduler.clear() == over
        for sequence in over:
            sequence.finished = True
        self.cache.cells = [[None] * self.cache.capacity for _ in self.cache.cells]

    def one_step(self) -> None:
        scheduler = self.scheduler
        scheduler.release([each for each in scheduler.writing if each.channel.cancelled])
        self.check()
        writing, waiting = len(scheduler.decoding), len(scheduler.waiting)
        prefill = scheduler.next_prefill()
        self.check()
        if prefill is not None:
            self.check_prefill(prefill, writing, waiting)
            self.read(prefill)
        if scheduler.decoding:
            self.write()
        self.check()

    def check_prefill(self, prefill: Prefill, writing: int, waiting: int) -> None:
        width = whole_blocks(max(map(len, prefill.pieces)))
        most = max(whole_blocks(2 * writing), LEAST_PREFILL, LEAST_PREFILL * waiting) if writing else MOST_PREFILL
        assert width * len(prefill.pieces) <= min(most, MOST_PREFILL)
        assert [context.row for context in prefill.contexts] == [
            prefill.row + line for line in range(len(prefill.contexts))
        ]
        for context in prefill.contexts:
            assert context.cached == prefill.start
            assert context.cached + prefill.tokens >= len(context.tokens) or prefill.tokens % BLOCK == 0

    def read(self, prefill: Prefill) -> None:
        cells = self.cache.prefill(prefill.row, prefill.start, prefill.pieces)
        last = {id(context): cell for context, cell in zip(prefill.contexts, cells, strict=True)}
        self.last |= last
        arrived = self.scheduler.has_read(prefill)
        self.check()
        for job in arrived:
            assert job not in self.served, "nobody is served twice"
            self.served.append(job)
            prompt_cells = [self.last[id(prompt)] for prompt in job.prompts]
            for sequence in map(continuation, job.sequences):
                assert [context.tokens for context in sequence.contexts] == sequence.prompts
                sequence.draw(prompt_cells)
        self.scheduler.release([each for job in arrived for each in job.sequences if each.finished])

    def write(self) -> None:
        decoding = self.scheduler.decoding
        cells = self.cache.decode([each.tokens[-1] for each in decoding], [each.cached for each in decoding])
        for context in decoding:
            context.cached += 1
        for sequence in map(continuation, self.scheduler.writing):
            sequence.draw([cells[context.row] for context in sequence.contexts])
        self.scheduler.release([each for each in self.scheduler.writing if each.finished])

    @invariant()
    def check(self) -> None:
        self.check_rows()
        self.check_kept()
        self.check_places()

    def check_rows(self) -> None:
        """Rows are nobody's or one's, in order, and hold what a run alone would have left there."""
        scheduler = self.scheduler
        assert [context.row for context in scheduler.decoding] == list(range(len(scheduler.decoding)))
        of_sequences = [context for sequence in scheduler.writing for context in sequence.contexts]
        assert sorted(map(id, of_sequences)) == sorted(map(id, scheduler.decoding))
        arriving = [prompt for job in scheduler.arriving for prompt in job.prompts]
        rows = [context.row for context in (*scheduler.decoding, *arriving)]
        assert len(set(rows)) == len(rows)
        assert all(0 <= row < self.rows for row in rows)
        assert 0 <= scheduler.free == self.rows - len(of_sequences) - sum(job.rows for job in scheduler.arriving)
        for context in scheduler.decoding:
            assert context.cached == len(context.tokens) - 1 or context.cached == len(context.tokens)
        for context in (*scheduler.decoding, *arriving):
            assert self.cache.holds(context.row, context.tokens[: context.cached])

    def check_kept(self) -> None:
        """What is kept lies behind all that is written, each in a row of its own, and none says what another does."""
        kept = self.scheduler.prefixes._kept
        assert sorted([*kept, *self.scheduler.prefixes._free]) == list(range(self.rows, self.rows + self.kept))
        known = {row: np.frombuffer(tokens, f"i{WIDTH}").tolist() for row, tokens in kept.items()}
        for row, tokens in known.items():
            assert len(tokens) >= LEAST
            assert len(tokens) % BLOCK == 0
            assert self.cache.holds(row, tokens)
            assert not any(other[: len(tokens)] == tokens for at, other in known.items() if at != row)

    def check_places(self) -> None:
        """Whoever has not ended, and is read by somebody, is in one place: waiting, arriving or writing."""
        jobs = [*self.scheduler.waiting, *self.scheduler.arriving]
        places = [*self.scheduler.writing, *(sequence for job in jobs for sequence in job.sequences)]
        assert len(set(map(id, places))) == len(places)
        for sequence in self.sequences:
            if not (sequence.finished or sequence.channel.cancelled):
                assert sequence in places
        assert self.scheduler.running == len(places) - sum(len(job.sequences) for job in self.scheduler.waiting)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for _ in range(LONG_ENOUGH):
            if self.scheduler.idle:
                break
            self.one_step()
        assert self.scheduler.idle
        assert all(sequence.finished or sequence.channel.cancelled for sequence in self.sequences)
        assert self.scheduler.free == self.rows


Scheduling.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
TestScheduling = Scheduling.TestCase
