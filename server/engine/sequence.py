"""What is being written: the rows of the cache, the continuations that use them, the requests they belong to."""

import math
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from server.engine.request import Sampling
from server.engine.sampling.batch_sampler import Turn
from server.engine.sampling.guidance import guide
from server.engine.sampling.kernels import Floats
from server.engine.sampling.prompt_logprobs import PromptLogprobs, Scores
from server.engine.sampling.sampler import Drawn, Sampler, TokenLogprobs
from server.engine.stats import Reason, SequenceStats
from server.engine.stream import Channel, Chunk, FinishReason
from server.engine.text.detokenizer import Detokenizer
from server.engine.text.stop_strings import StopStrings


@dataclass(eq=False)
class Context:
    """The tokens before the next one, of which a row of the cache holds the first `cached`.

    row: which one; -1 before it has one. reused: how many it held from the beginning, kept from before. logits: [vocab]
    after the last token of a prompt that was read whole. scores: of a prompt whose tokens' own log probabilities are
    asked for.
    """

    tokens: list[int]
    cached: int = 0
    row: int = -1
    reused: int = 0
    logits: Floats | None = None
    scores: Scores | None = None

    @property
    def unread(self) -> int:
        """How many tokens the cache does not hold yet."""
        return len(self.tokens) - self.cached


class Sequence:
    """One continuation: its contexts, its sampler, and the text on its way to the reader.

    contexts: of the prompt, and, for a guided request, of the one that it is led away from.
    limit: how many tokens it may have at most, so that prompt and continuation fit into the model's context.
    stats: what becomes of it. scores: of the prompt, for the first chunk. deadline: when it ends, wherever it is, in
    seconds of the monotonic clock. client: who asked for it.
    """

    def __init__(
        self,
        sampling: Sampling,
        limit: int,
        end_of_text: int,
        sampler: Sampler,
        detokenizer: Detokenizer,
        stats: SequenceStats,
        scores: Scores | None = None,
        deadline: float = math.inf,
        client: str = "",
    ) -> None:
        self.contexts: list[Context] = []
        self.channel = Channel()
        self.finished = False
        self.stats = stats
        self.deadline = deadline
        self.client = client
        self._guidance = sampling.guidance
        self._endless = sampling.ignore_end
        self._limit = limit
        self._end_of_text = end_of_text
        self._sampler = sampler
        self._detokenizer = detokenizer
        self._stops = StopStrings(sampling.stop)
        self._length = 0
        self._unsent: list[int] = []
        self._unsent_logprobs: list[TokenLogprobs] = []
        self._scores = scores
        self._prompt_logprobs: PromptLogprobs = ()

    def turn(self, logits: Floats, rows: Tokens[int]) -> Turn:
        """How the next token is to be drawn from the rows that its contexts have of float32 logits [rows, vocab].

        What is to be drawn from is in the first of them then.
        """
        if len(rows) > 1:
            own, against = (logits[row] for row in rows)
            self._sampler.exclude(own)  # else nothing may be plausible beside it
            own[:] = guide(own, against, self._guidance)
        return self._sampler.turn(logits, rows[0])

    def extend(self, token: int) -> Chunk | None:
        """Takes the token that was drawn; the text that it completes, if any.

        Afterwards the sequence is `finished`, with the chunk that says why, or each context has one more token. Raises
        FloatingPointError where there was none to draw, -1: the logits were not finite.
        """
        if self._scores is not None:
            self._prompt_logprobs, self._scores = self._scores.found, None
        if not self._limit:
            return self._finish("", "length")
        drawn = self._sampler.taken(token)
        if token == self._end_of_text and not self._endless:
            if drawn.logprobs is not None:
                self._unsent_logprobs.append(drawn.logprobs)
            return self._end("", "stop")
        self._length += 1
        for context in self.contexts:
            context.tokens.append(token)
        return self._show(drawn)

    def _show(self, drawn: Drawn) -> Chunk | None:
        self._unsent.append(drawn.token)
        if drawn.logprobs is not None:
            self._unsent_logprobs.append(drawn.logprobs)
        text, stopped = self._stops.push(self._detokenizer.push(drawn.token))
        if stopped:
            return self._finish(text, "stop")
        if self._length == self._limit:
            return self._end(text, "length")
        return self._send(text, None) if text else None

    def _end(self, text: str, reason: FinishReason) -> Chunk:
        """The end, with what was held back of the text; that may still complete a stop string."""
        rest, stopped = self._stops.push(self._detokenizer.flush())
        if stopped:
            return self._finish(text + rest, "stop")
        return self._finish(text + rest + self._stops.flush(), reason)

    def _finish(self, text: str, reason: FinishReason) -> Chunk:
        self.finished = True
        self.stats.reason = reason
        return self._send(text, reason)

    def _send(self, text: str, finish_reason: FinishReason | None) -> Chunk:
        chunk = Chunk(text, tuple(self._unsent), finish_reason, tuple(self._unsent_logprobs), self._prompt_logprobs)
        self._unsent.clear()
        self._unsent_logprobs.clear()
        self._prompt_logprobs = ()
        return chunk


@dataclass(eq=False)
class Job:
    """A request: the prompts to read, once, and the sequences that go on from them.

    tokens: what it takes at most, read and written.
    """

    prompts: list[Context]
    sequences: list[Sequence] = field(default_factory=list)
    tokens: int = 1

    @property
    def rows(self) -> int:
        """How many rows of the cache it takes while it is written."""
        return len(self.prompts) * len(self.sequences)

    @property
    def client(self) -> str:
        """Who asks; the queue is fair between clients."""
        return self.sequences[0].client

    @property
    def deadline(self) -> float:
        """When it ends, wherever it is, in seconds of the monotonic clock."""
        return self.sequences[0].deadline

    @property
    def abandoned(self) -> bool:
        """Whether nobody reads any of it."""
        return all(sequence.channel.cancelled for sequence in self.sequences)

    def end(self, reason: Reason) -> None:
        """None of it is written any further."""
        for sequence in self.sequences:
            sequence.stats.finish(reason)
