"""Samples the tokens of one sequence: bias and penalties before each, log probabilities after it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from server.engine.request import Sampling
from server.engine.sampling.bad_words import BadWords
from server.engine.sampling.batch_sampler import SamplingInput
from server.engine.sampling.kernels import Floats, likeliest, log_sum_exp

GREEDY_BELOW = 1e-5
"""Temperatures under this one choose the likeliest token, as in vLLM; float32 could not divide by much less."""

LOWEST = np.finfo(np.float32).min


class TokenLogprobs(NamedTuple):
    """Natural-log probabilities in the model's own distribution.

    That is the one before penalties, bias and temperature. logprob: of the token that was sampled. top: token ids and
    theirs, the likeliest first and the smaller id first among equals; fewer than asked for where fewer tokens are
    possible at all.
    """

    logprob: float
    top: tuple[tuple[int, float], ...]


class SampledToken(NamedTuple):
    """One token, with its log probabilities if `Sampling.logprobs` asks for them."""

    token: int
    logprobs: TokenLogprobs | None = None


class Sampler:
    """Samples the tokens of one sequence; they are a function of prompt, sampling, seed and logits alone.

    For each token, `prepare` makes the input of `BatchSampler.sample`, and `accept` takes what that has sampled.
    prompt: its token ids. vocab_size: the number of ids that the tokenizer knows; those that a padded model has beyond
    them are never sampled. end_of_text: the token that `Sampling.ignore_end` and `min_tokens` exclude. bad_words: the
    spellings of those of the sampling. All ids, those of `Sampling.logit_bias` too, lie below vocab_size.
    """

    def __init__(
        self,
        sampling: Sampling,
        seed: int,
        prompt: Sequence[int],
        vocab_size: int,
        end_of_text: int,
        bad_words: Sequence[Sequence[int]] = (),
    ) -> None:
        self._sampling = sampling
        self._seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])  # seeds may be near, or long
        self._vocab_size = vocab_size
        self._end_of_text = end_of_text
        temperature = 0 if sampling.temperature < GREEDY_BELOW else sampling.temperature
        top_k = min(sampling.top_k, vocab_size)  # which may be asked for as a number of any size
        self._choice = (temperature, top_k, sampling.top_p, sampling.min_p)
        self._bias_ids = np.fromiter(sampling.logit_bias.keys(), dtype=np.intp)
        self._bias = np.fromiter(sampling.logit_bias.values(), dtype=np.float32)
        self._bad_words = BadWords(bad_words)
        self._generated = 0
        penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
        self._occurrences = _Occurrences(prompt) if penalties != (1, 0, 0) else None
        self._adjusts = self._occurrences is not None or self._bias_ids.size > 0
        self._logits: Floats | None = None

    def prepare(self, logits: Floats, row: int) -> SamplingInput:
        """The input to sample the next token from a row of float32 logits [rows, vocab_size or more].

        Adds bias and penalties to the row, and excludes tokens that must not come next.
        """
        scores = logits[row]
        if self._sampling.logprobs is not None:
            self._logits = scores[: self._vocab_size].copy()
        if self._adjusts:
            self._adjust(scores)
        self.exclude(scores)
        return SamplingInput(row, self._vocab_size, self._seed, self._generated, *self._choice)

    def accept(self, token: int) -> SampledToken:
        """Records the token that was sampled. Raises FloatingPointError for -1: there was none to sample."""
        if token < 0:
            raise FloatingPointError("the model's logits are not finite")
        if self._occurrences is not None:
            self._occurrences.add(token)
        self._bad_words.add(token)
        self._generated += 1
        wanted, logits, self._logits = self._sampling.logprobs, self._logits, None
        return SampledToken(token, None if wanted is None or logits is None else token_logprobs(logits, token, wanted))

    def exclude(self, scores: Floats) -> None:
        """Makes the tokens that must not come next the least likely of float32 scores [vocab]."""
        # Not -inf: guidance may have left nothing else, and then there is nothing else to draw.
        self._bad_words.exclude(scores, LOWEST)
        if self._endless:
            scores[self._end_of_text] = LOWEST

    @property
    def _endless(self) -> bool:
        return self._sampling.ignore_end or self._generated < self._sampling.min_tokens

    def _adjust(self, scores: Floats) -> None:
        """Bias and penalties, which touch few tokens."""
        with np.errstate(over="ignore"):  # what overflows here does so towards -inf: a token that is never drawn
            scores[self._bias_ids] += self._bias
            if self._occurrences is not None:
                self._occurrences.penalise(scores, self._sampling)


def token_logprobs(logits: Floats, token: int, count: int) -> TokenLogprobs:
    """Of `token`, and of the `count` likeliest, in logits [vocab]; NaN for logits that hold NaN or +inf."""
    total = log_sum_exp(logits)
    top: list[tuple[int, float]] = []
    if count:
        ids = likeliest(logits, count, LOWEST)
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        top = [(int(i), float(logits[i]) - total) for i in ids]
    return TokenLogprobs(float(logits[token]) - total, tuple(top))


class _Occurrences:
    """The different tokens of a prompt and its continuation, and how often the continuation has each."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._places = {token: place for place, token in enumerate(dict.fromkeys(prompt))}
        # Both grow by doubling; what lies beyond the places in use has no meaning.
        self._ids = np.fromiter(self._places, dtype=np.intp)
        self._drawn = np.zeros(len(self._places), dtype=np.float32)

    def add(self, token: int) -> None:
        """Counts one more drawn token."""
        place = self._places.setdefault(token, len(self._places))
        if place == self._ids.size:
            room = np.zeros(place + 8, dtype=np.intp)
            self._ids = np.concatenate((self._ids, room))
            self._drawn = np.concatenate((self._drawn, room.astype(np.float32)))
        self._ids[place] = token
        self._drawn[place] += 1

    def penalise(self, scores: Floats, sampling: Sampling) -> None:
        """Applies the three penalties to the scores [vocab] of the tokens that have occurred, in place."""
        ids, drawn = self._ids[: len(self._places)], self._drawn[: len(self._places)]
        values, penalty = scores[ids], np.float32(sampling.repetition_penalty)
        if penalty != 1:
            values = np.where(values > 0, values / penalty, values * penalty)
        values -= np.float32(sampling.frequency_penalty) * drawn
        values -= np.float32(sampling.presence_penalty) * (drawn > 0)
        scores[ids] = values
