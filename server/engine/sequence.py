"""Rows of the KV cache, sequences that use them, and groups of sequences, one for each request."""

import math
import time
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, field

from server.bundle import ModelShape
from server.engine.config import EngineConfig
from server.engine.request import Request, Sampling
from server.engine.sampling.batch_sampler import SamplingInput
from server.engine.sampling.guidance import guide
from server.engine.sampling.kernels import Floats
from server.engine.sampling.prompt_logprobs import PromptLogprobs
from server.engine.sampling.sampler import Sampler, TokenLogprobs
from server.engine.stats import Observer, SequenceStats
from server.engine.stream import Channel, Chunk, FinishReason
from server.engine.text.output import OutputText
from server.engine.text.tokenizer import Tokenizer


@dataclass(eq=False)
class CacheRow:
    """The tokens of a sequence, or of its unguided twin, and their row of the KV cache.

    cached: the number of tokens that the row holds. index: the number of the row; -1 before there is one. cache_hits:
    tokens that came from the prefix cache. logits: float32 [vocab] after the last token, once a prefill is complete.
    logprobs: gathers those of the prompt's tokens where the request asks for them.
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


@dataclass(eq=False)
class Sequence:
    """One continuation: its rows of the cache, its sampler, and its text on the way to the reader.

    limit: the most tokens that it may generate, so that prompt and continuation fit into the model's context.
    prompt_logprobs: for the first chunk. deadline: in seconds of the monotonic clock. client: the one that asks for it.
    cost: the most tokens that it takes in its rows, a share of the prompts included.
    rows: one, or a guided pair: that of the prompt, and that of the prompt to guide away from.
    """

    sampling: Sampling
    limit: int
    end_of_text: int
    sampler: Sampler
    text: OutputText
    stats: SequenceStats
    prompt_logprobs: PromptLogprobs | None = None
    deadline: float = math.inf
    client: str = ""
    cost: float = 0.0
    rows: list[CacheRow] = field(default_factory=list)
    channel: Channel = field(default_factory=Channel)
    _length: int = 0
    _unsent: list[int] = field(default_factory=list)
    _unsent_logprobs: list[TokenLogprobs] = field(default_factory=list)
    _unsent_prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()

    def prepare(self, logits: Floats, rows: Tokens[int]) -> SamplingInput:
        """The input to sample the next token from its `rows` of float32 logits [rows, vocab].

        Guidance, bias and penalties change the first of these rows, from which the token is sampled.
        """
        if len(rows) > 1:
            own, against = (logits[row] for row in rows)
            self.sampler.exclude(own)  # else nothing may be plausible beside it
            own[:] = guide(own, against, self.sampling.guidance)
        return self.sampler.prepare(logits, rows[0])

    def append(self, token: int) -> Chunk | None:
        """Adds the token that was sampled. Returns the chunk of text that it completes, if any.

        The last chunk has a finish_reason; before it, each row gets the token. Raises FloatingPointError for -1, which
        says that the logits were not finite.
        """
        if self.prompt_logprobs is not None:
            self._unsent_prompt_logprobs, self.prompt_logprobs = self.prompt_logprobs.values, None
        if not self.limit:
            return self._chunk("", "length")
        sampled = self.sampler.accept(token)
        if sampled.logprobs is not None:
            self._unsent_logprobs.append(sampled.logprobs)
        if token == self.end_of_text and not self.sampling.ignore_end:
            return self._last_chunk("", "stop")
        self._length += 1
        self._unsent.append(token)
        for row in self.rows:
            row.tokens.append(token)
        text, stopped = self.text.push(token)
        if stopped:
            return self._chunk(text, "stop")
        if self._length == self.limit:
            return self._last_chunk(text, "length")
        return self._chunk(text) if text else None

    def _last_chunk(self, text: str, reason: FinishReason) -> Chunk:
        """A chunk with the rest of the text, which may still complete a stop string."""
        rest, stopped = self.text.flush()
        return self._chunk(text + rest, "stop" if stopped else reason)

    def _chunk(self, text: str, finish_reason: FinishReason | None = None) -> Chunk:
        """A chunk of all that was not sent yet."""
        tokens, logprobs = tuple(self._unsent), tuple(self._unsent_logprobs)
        chunk = Chunk(text, tokens, finish_reason, logprobs, self._unsent_prompt_logprobs)
        self._unsent, self._unsent_logprobs, self._unsent_prompt_logprobs = [], [], ()
        return chunk


@dataclass(eq=False)
class SequenceGroup:
    """The sequences of one request: its prompts, to prefill once, and the continuations that share them.

    prompts: one, or a guided pair.
    """

    prompts: list[CacheRow]
    sequences: list[Sequence]

    @classmethod
    def of(
        cls,
        request: Request,
        prompts: list[list[int]],
        seeds: range,
        config: EngineConfig,
        shape: ModelShape,
        tokenizer: Tokenizer,
        observer: Observer,
    ) -> "SequenceGroup":
        """A group for a request that was admitted, with one sequence for each seed. prompts: their token ids."""
        sampling, prompt, wanted = request.sampling, prompts[0], request.prompt_logprobs
        limit = min(sampling.max_tokens, shape.context - max(map(len, prompts)))
        logprobs = None if wanted is None else PromptLogprobs(prompt, wanted, tokenizer.size)
        bad_words = [spelling for word in sampling.bad_words for spelling in tokenizer.spellings(word)]
        deadline = time.monotonic() + config.deadline
        sequences = [
            Sequence(
                sampling=sampling,
                limit=limit,
                end_of_text=shape.end_of_text,
                sampler=Sampler(sampling, seed, prompt, tokenizer.size, shape.end_of_text, bad_words),
                text=OutputText(tokenizer.token_bytes, sampling.stop),
                stats=SequenceStats(observer, request.id, len(prompt)),
                prompt_logprobs=logprobs,
                deadline=deadline,
                client=request.client,
                cost=sum(map(len, prompts)) / len(seeds) + len(prompts) * limit,
            )
            for seed in seeds
        ]
        rows = [CacheRow(tokens) for tokens in prompts]
        rows[0].logprobs = logprobs
        return cls(rows, sequences)

    @property
    def rows(self) -> int:
        """The number of cache rows that it needs in decode."""
        return len(self.prompts) * len(self.sequences)

    @property
    def cost(self) -> float:
        """The most tokens that it takes, of prompts and continuations."""
        return sum(sequence.cost for sequence in self.sequences)

    @property
    def client(self) -> str:
        """The client that asks for it."""
        return self.sequences[0].client

    @property
    def deadline(self) -> float:
        """The time by which it has to end, in seconds of the monotonic clock."""
        return self.sequences[0].deadline

    @property
    def cancelled(self) -> bool:
        """True when the readers of all its sequences are gone."""
        return all(sequence.channel.status.final for sequence in self.sequences)

    def finish_cancelled(self) -> None:
        """Records the end of a group that was cancelled before decode."""
        for sequence in self.sequences:
            sequence.stats.finish(sequence.channel.status)
