"""Rows of the KV cache, the sequences that use them, and the groups of sequences that requests ask for."""

import math
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from server.engine.request import Sampling
from server.engine.sampling.batch_sampler import SamplingInput
from server.engine.sampling.guidance import guide
from server.engine.sampling.kernels import Floats
from server.engine.sampling.prompt_logprobs import PromptLogprobs
from server.engine.sampling.sampler import SampledToken, Sampler, TokenLogprobs
from server.engine.stats import Reason, SequenceStats
from server.engine.stream import Channel, Chunk, FinishReason
from server.engine.text.detokenizer import Detokenizer
from server.engine.text.stop_strings import StopStrings


@dataclass(eq=False)
class CacheRow:
    """The tokens of a sequence, or of its unguided twin, of which a row of the KV cache holds the first `cached`.

    index: the number of the row; -1 before there is one. cache_hits: tokens that came from the prefix cache. logits:
    float32 [vocab] after the last token, once a prefill is complete. logprobs: gathers those of the prompt's tokens
    where the request asks for them.
    """

    tokens: list[int]
    cached: int = 0
    index: int = -1
    cache_hits: int = 0
    logits: Floats | None = None
    logprobs: PromptLogprobs | None = None

    @property
    def uncached(self) -> int:
        """The number of tokens that are not in the cache yet."""
        return len(self.tokens) - self.cached


class Sequence:
    """One continuation: its rows of the cache, its sampler, and its text on the way to the reader.

    rows: one, or a guided pair: that of the prompt, and that of the prompt to guide away from. limit: the most tokens
    it may generate, so that prompt and continuation fit into the model's context. prompt_logprobs: for the first chunk.
    deadline: in seconds of the monotonic clock. client: the one that asks for it.
    """

    def __init__(
        self,
        sampling: Sampling,
        limit: int,
        end_of_text: int,
        sampler: Sampler,
        detokenizer: Detokenizer,
        stats: SequenceStats,
        prompt_logprobs: PromptLogprobs | None = None,
        deadline: float = math.inf,
        client: str = "",
    ) -> None:
        self.rows: list[CacheRow] = []
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
        self._first_logprobs: tuple[TokenLogprobs | None, ...] = ()
        self._prompt_logprobs = prompt_logprobs

    def prepare(self, logits: Floats, rows: Tokens[int]) -> SamplingInput:
        """The input to sample the next token from its `rows` of float32 logits [rows, vocab].

        Guidance, bias and penalties change the first of these rows, from which the token is sampled.
        """
        if len(rows) > 1:
            own, against = (logits[row] for row in rows)
            self._sampler.exclude(own)  # else nothing may be plausible beside it
            own[:] = guide(own, against, self._guidance)
        return self._sampler.prepare(logits, rows[0])

    def append(self, token: int) -> Chunk | None:
        """Adds the token that was sampled. Returns the chunk of text that it completes, if any.

        Afterwards the sequence is `finished`, with a chunk that says why, or each row has one more token. Raises
        FloatingPointError for -1, which says that the logits were not finite.
        """
        if self._prompt_logprobs is not None:
            self._first_logprobs, self._prompt_logprobs = self._prompt_logprobs.values, None
        if not self._limit:
            return self._finish("", "length")
        sampled = self._sampler.accept(token)
        if token == self._end_of_text and not self._endless:
            if sampled.logprobs is not None:
                self._unsent_logprobs.append(sampled.logprobs)
            return self._end("", "stop")
        self._length += 1
        for row in self.rows:
            row.tokens.append(token)
        return self._show(sampled)

    def _show(self, sampled: SampledToken) -> Chunk | None:
        self._unsent.append(sampled.token)
        if sampled.logprobs is not None:
            self._unsent_logprobs.append(sampled.logprobs)
        text, stopped = self._stops.push(self._detokenizer.push(sampled.token))
        if stopped:
            return self._finish(text, "stop")
        if self._length == self._limit:
            return self._end(text, "length")
        return self._send(text, None) if text else None

    def _end(self, text: str, reason: FinishReason) -> Chunk:
        """Ends with the text that was held back, which may still complete a stop string."""
        rest, stopped = self._stops.push(self._detokenizer.flush())
        if stopped:
            return self._finish(text + rest, "stop")
        return self._finish(text + rest + self._stops.flush(), reason)

    def _finish(self, text: str, reason: FinishReason) -> Chunk:
        self.finished = True
        self.stats.reason = reason
        return self._send(text, reason)

    def _send(self, text: str, finish_reason: FinishReason | None) -> Chunk:
        chunk = Chunk(text, tuple(self._unsent), finish_reason, tuple(self._unsent_logprobs), self._first_logprobs)
        self._unsent.clear()
        self._unsent_logprobs.clear()
        self._first_logprobs = ()
        return chunk


@dataclass(eq=False)
class SequenceGroup:
    """The sequences of one request: its prompts, to prefill once, and the continuations that share them.

    prompts: one, or a guided pair. cost: the most tokens that it takes, of prompts and continuations.
    """

    prompts: list[CacheRow]
    sequences: list[Sequence] = field(default_factory=list)
    cost: int = 1

    @property
    def rows(self) -> int:
        """The number of cache rows that it needs in decode."""
        return len(self.prompts) * len(self.sequences)

    @property
    def client(self) -> str:
        """The client that asks for it."""
        return self.sequences[0].client

    @property
    def deadline(self) -> float:
        """The time by which it has to end, in seconds of the monotonic clock."""
        return self.sequences[0].deadline

    @property
    def abandoned(self) -> bool:
        """True when the readers of all its sequences are gone."""
        return all(sequence.channel.cancelled for sequence in self.sequences)

    def end(self, reason: Reason) -> None:
        """Ends all its sequences."""
        for sequence in self.sequences:
            sequence.stats.finish(reason)
