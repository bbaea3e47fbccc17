"""Sequences, their rows of the KV cache, and their groups: one group for each request."""

import math
import time
from collections import abc
from dataclasses import dataclass, field

from server.bundle import Manifest
from server.engine.arrays import Floats
from server.engine.config import EngineConfig
from server.engine.request import Request, Sampling
from server.engine.sampling.batch_sampler import SamplingInput
from server.engine.sampling.guidance import PLAUSIBLE, guide
from server.engine.sampling.logprobs import TokenLogprobs
from server.engine.sampling.prompt_logprobs import PromptLogprobs
from server.engine.sampling.sampler import Sampler
from server.engine.stats import Observer, SequenceStats
from server.engine.stream import Channel, Chunk, FinishReason
from server.engine.text.output import OutputText
from server.engine.text.tokenizer import Tokenizer


@dataclass(eq=False)
class CacheRow:
    """The tokens of a sequence, or of the second prompt of a guided pair, and their row of the KV cache.

    Attributes:
        tokens: the token ids of the prompt and of the text so far.
        cached: the number of these tokens in the cache.
        index: the index of the row in the cache; -1 before the sequence has one.
        cache_hits: the number of tokens taken from the prefix cache.
        logits: float32 [vocab] after the last token of a prefill run.
        logprobs: collects the log probabilities of the prompt's tokens, if requested.
    """

    tokens: list[int]
    cached: int = 0
    index: int = -1
    cache_hits: int = 0
    logits: Floats | None = None
    logprobs: PromptLogprobs | None = None

    @property
    def uncached(self) -> int:
        """The number of tokens still to be computed into the cache."""
        return len(self.tokens) - self.cached


@dataclass(eq=False)
class Sequence:
    """One continuation: its rows of the cache, its sampler, and its text on the way to the reader.

    Attributes:
        limit: the most tokens to generate, from `max_tokens` and the room in the model's context.
        prompt_logprobs: are sent with the first chunk.
        deadline: in seconds of the monotonic clock.
        client: the name of the requesting client.
        cost: the most tokens it can take in its rows, with a share of the prompts.
        guidance_floor: see `guide`.
        rows: one row; two for a guided pair: first the prompt's, then the row of the prompt to guide away from.
        replayed: chunks of tokens drawn before, to send when the prefill is complete.
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
    guidance_floor: float = PLAUSIBLE
    rows: list[CacheRow] = field(default_factory=list)
    replayed: list[Chunk] = field(default_factory=list)
    channel: Channel = field(default_factory=Channel)
    _length: int = 0
    _unsent: list[int] = field(default_factory=list)
    _unsent_logprobs: list[TokenLogprobs] = field(default_factory=list)
    _unsent_prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()

    def prepare(self, logits: Floats, rows: abc.Sequence[int]) -> SamplingInput:
        """Return the sampling input for the next token.

        Apply guidance, bias and penalties in place to the row of logits to sample from.

        Args:
            logits: float32 [rows, vocab], of the whole batch.
            rows: the indices of this sequence's rows. The token is sampled from the first one.
        """
        if len(rows) > 1:
            own, against = (logits[row] for row in rows)
            self.sampler.exclude(own)  # before guidance: next to an excluded token no other might be plausible
            own[:] = guide(own, against, self.sampling.guidance, self.guidance_floor)
        return self.sampler.prepare(logits, rows[0])

    def replay(self, tokens: abc.Sequence[int]) -> list[int]:
        """Append tokens that were drawn before, elsewhere. Return them.

        The last one of a sequence is left out, because it must be drawn to end the sequence.
        """
        drawn = list(tokens[: self.limit - 1])
        self.replayed = [chunk for token in drawn if (chunk := self.append(token)) is not None]
        return drawn

    def append(self, token: int) -> Chunk | None:
        """Append a sampled token. Return a chunk if there is text to send or the sequence has ended.

        Raises:
            FloatingPointError: the token is -1, or a logprob of the prompt is missing: logits were not finite.
        """
        if self.prompt_logprobs is not None:
            self._unsent_prompt_logprobs, self.prompt_logprobs = self.prompt_logprobs.values, None
        if not self.limit:  # max_tokens is 0: only the prefill was wanted
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
        """Return the last chunk, with the text held back. That text may still complete a stop string."""
        rest, stopped = self.text.flush()
        return self._chunk(text + rest, "stop" if stopped else reason)

    def _chunk(self, text: str, finish_reason: FinishReason | None = None) -> Chunk:
        """Return a chunk of everything not yet sent."""
        tokens, logprobs = tuple(self._unsent), tuple(self._unsent_logprobs)
        chunk = Chunk(text, tokens, finish_reason, logprobs, self._unsent_prompt_logprobs)
        self._unsent, self._unsent_logprobs, self._unsent_prompt_logprobs = [], [], ()
        return chunk


@dataclass(eq=False)
class SequenceGroup:
    """Sequences of one request. They share the prefill of their prompts.

    Attributes:
        prompts: one row, or two for a guided pair.
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
        manifest: Manifest,
        tokenizer: Tokenizer,
        observer: Observer,
        resumes: bool,
    ) -> "list[SequenceGroup]":
        """Return the groups of an admitted request, with one sequence for each seed.

        There is one group, or one for each sequence if they go on behind different tokens.

        Args:
            prompts: the token ids of its prompts, one or a guided pair.
            resumes: prefill the tokens that the sequences have drawn already.
        """
        shape = manifest.model
        sampling, prompt, wanted = request.sampling, prompts[0], request.prompt_logprobs
        limit = min(sampling.max_tokens, shape.context - max(map(len, prompts)))
        logprobs = None if wanted is None else PromptLogprobs(prompt, wanted, tokenizer.size)
        bad_words = [spelling for word in sampling.bad_words for spelling in tokenizer.spellings(word)]
        lengthening = tokenizer.lengthening if sampling.min_lengthening else None
        penalised = prompt[len(tokenizer.encode(request.unpenalised)) :] if request.unpenalised else prompt
        openings = request.openings or ((),) * len(seeds)
        deadline = time.monotonic() + config.deadline
        sequences = [
            Sequence(
                sampling=sampling,
                limit=limit,
                end_of_text=shape.end_of_text,
                sampler=Sampler(
                    sampling,
                    seed,
                    penalised,
                    tokenizer.size,
                    shape.end_of_text,
                    bad_words,
                    opening,
                    lengthening,
                ),
                text=OutputText(tokenizer.token_bytes, sampling.stop),
                stats=SequenceStats(observer, request.id, len(prompt)),
                prompt_logprobs=logprobs,
                deadline=deadline,
                client=request.client,
                cost=sum(map(len, prompts)) / len(seeds) + len(prompts) * limit,
                guidance_floor=manifest.engine.guidance_floor,
            )
            for seed, opening in zip(seeds, openings, strict=True)
        ]
        scored = sampling.logprobs is not None or wanted is not None  # a prefill draws nothing, so it scores no draws
        if resumes and request.drawn and limit and not scored:
            drawn = [each.replay(tokens) for each, tokens in zip(sequences, request.drawn, strict=True)]
            behind = [[CacheRow(own + tokens) for own in prompts] for tokens in drawn]
            return [cls(rows, [sequence]) for rows, sequence in zip(behind, sequences, strict=True)]
        rows = [CacheRow(tokens) for tokens in prompts]
        rows[0].logprobs = logprobs
        return [cls(rows, sequences)]

    @property
    def rows(self) -> int:
        """The number of cache rows needed in decode."""
        return len(self.prompts) * len(self.sequences)

    @property
    def only_scored(self) -> bool:
        """True if the log probabilities of the prompt are all that is wanted."""
        return self.prompts[0].logprobs is not None and not any(sequence.limit for sequence in self.sequences)

    @property
    def cost(self) -> float:
        """The most tokens that the request can take, prompts and continuations together."""
        return sum(sequence.cost for sequence in self.sequences)

    @property
    def client(self) -> str:
        """The name of the requesting client."""
        return self.sequences[0].client

    @property
    def cancelled(self) -> bool:
        """True if the readers of all its sequences are gone."""
        return all(sequence.channel.status.final for sequence in self.sequences)

    def finish_cancelled(self) -> None:
        """Record the end of a group cancelled before decode."""
        for sequence in self.sequences:
            sequence.stats.finish(sequence.channel.status)
