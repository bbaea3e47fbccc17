"""The sampler of one sequence: bias and penalties before each token, log probabilities after it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from server.engine.arrays import Floats
from server.engine.request import Sampling
from server.engine.sampling.bad_words import BadWords
from server.engine.sampling.batch_sampler import SamplingInput
from server.engine.sampling.kernels import likeliest, log_sum_exp, penalise
from server.engine.sampling.logprobs import TokenLogprobs

GREEDY_BELOW = 1e-5
"""Below this temperature sampling is greedy, as in vLLM: float32 cannot divide by much less."""

LOWEST = np.finfo(np.float32).min


class SampledToken(NamedTuple):
    """One token, with its log probabilities if `Sampling.logprobs` is set."""

    token: int
    logprobs: TokenLogprobs | None = None


class Sampler:
    """Samples the tokens of one sequence. They are a function of prompt, sampling, seed and logits alone.

    For each token, `prepare` makes the input for `BatchSampler.sample`, and `accept` takes the result.

    Args:
        prompt: the token ids of the prompt that the repetition penalty counts.
        vocab_size: the number of ids in the tokenizer; a padded model's ids beyond it are never sampled. All other ids
            given here, also in `Sampling.logit_bias`, are below it.
        end_of_text: the token excluded by `Sampling.ignore_end` and `Sampling.min_tokens`.
        bad_words: the spellings of `Sampling.bad_words`.
        opening: the first tokens, in place of sampled ones.
        lengthening: the tokens that may come first only as `Sampling.min_lengthening` allows; None if all may.
    """

    def __init__(
        self,
        sampling: Sampling,
        seed: int,
        prompt: Sequence[int],
        vocab_size: int,
        end_of_text: int,
        bad_words: Sequence[Sequence[int]] = (),
        opening: Sequence[int] = (),
        lengthening: npt.NDArray[np.intp] | None = None,
    ) -> None:
        self._sampling = sampling
        # Requests may have neighbouring seeds, or seeds of more than 64 bits.
        self._seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        self._vocab_size = vocab_size
        self._end_of_text = end_of_text
        temperature = 0 if sampling.temperature < GREEDY_BELOW else sampling.temperature
        top_k = min(sampling.top_k, vocab_size)  # a request may have any number
        self._choice = (temperature, top_k, sampling.top_p, sampling.min_p)
        self._bias_ids = np.fromiter(sampling.logit_bias.keys(), dtype=np.intp)
        self._bias = np.fromiter(sampling.logit_bias.values(), dtype=np.float32)
        self._bad_words = BadWords(bad_words)
        self._opening = opening
        self._not_first = lengthening
        self._generated = 0
        penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
        self._occurrences = _Occurrences(prompt) if penalties != (1, 0, 0) else None
        self._adjusts = self._occurrences is not None or self._bias_ids.size > 0
        self._logits: Floats | None = None

    def prepare(self, logits: Floats, row: int) -> SamplingInput:
        """Return the sampling input for the next token.

        Add bias and penalties to its row of logits in place, and exclude tokens that must not come next.

        Args:
            logits: float32 [rows, vocab_size or more].
        """
        scores = logits[row]
        if self._sampling.logprobs is not None:
            self._logits = scores[: self._vocab_size].copy()
        if self._adjusts:
            self._adjust(scores)
        self.exclude(scores)
        if self._generated < len(self._opening):
            scores[:] = -np.inf
            scores[self._opening[self._generated]] = 0
        return SamplingInput(row, self._vocab_size, self._seed, self._generated, *self._choice)

    def accept(self, token: int) -> SampledToken:
        """Record the sampled token, and return it with its log probabilities.

        Raises:
            FloatingPointError: the token is -1, because the logits were not finite.
        """
        if token < 0:
            raise FloatingPointError("the model's logits are not finite")
        if self._occurrences is not None:
            self._occurrences.add(token)
        self._bad_words.add(token)
        self._generated += 1
        wanted, logits, self._logits = self._sampling.logprobs, self._logits, None
        return SampledToken(token, None if wanted is None or logits is None else token_logprobs(logits, token, wanted))

    def exclude(self, scores: Floats) -> None:
        """Give tokens that must not come next the lowest score, in float32 scores [vocab]."""
        # Not -inf: if guidance has set all other tokens to -inf, one of these must still be drawn.
        self._bad_words.exclude(scores, LOWEST)
        if self._not_first is not None and not self._generated:
            if self._lengthens(scores[self._not_first], scores[: self._vocab_size]):
                self._not_first = None
            else:
                scores[self._not_first] = LOWEST
        if self._endless:
            scores[self._end_of_text] = LOWEST

    def _lengthens(self, lengthening: Floats, scores: Floats) -> bool:
        """Return True if the last word of the prompt is probably not whole."""
        least = self._sampling.min_lengthening
        return least < 1 and math.exp(log_sum_exp(lengthening) - log_sum_exp(scores)) > least

    @property
    def _endless(self) -> bool:
        return self._sampling.ignore_end or self._generated < self._sampling.min_tokens

    def _adjust(self, scores: Floats) -> None:
        """Add bias and penalties; they change few scores."""
        if self._bias_ids.size:
            with np.errstate(over="ignore"):  # an overflow gives -inf, and such a token is never drawn
                scores[self._bias_ids] += self._bias
        if self._occurrences is not None:
            self._occurrences.penalise(scores, self._sampling)


def token_logprobs(logits: Floats, token: int, count: int) -> TokenLogprobs:
    """Return the log probabilities of `token` and of the `count` likeliest tokens, from logits [vocab].

    They are NaN if the logits have NaN or +inf.
    """
    total = log_sum_exp(logits)
    top: list[tuple[int, float]] = []
    if count:
        ids = likeliest(logits, count, LOWEST)
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        top = [(int(i), float(logits[i]) - total) for i in ids]
    return TokenLogprobs(float(logits[token]) - total, tuple(top))


class _Occurrences:
    """The distinct tokens of a prompt and its continuation, with the number of times each was drawn."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._places = {token: place for place, token in enumerate(dict.fromkeys(prompt))}
        # Both arrays grow in steps; the entries past the places in use have no meaning.
        self._ids = np.fromiter(self._places, dtype=np.intp)
        self._drawn = np.zeros(len(self._places), dtype=np.float32)

    def add(self, token: int) -> None:
        """Count a drawn token."""
        place = self._places.setdefault(token, len(self._places))
        if place == self._ids.size:
            room = np.zeros(place + 8, dtype=np.intp)
            self._ids = np.concatenate((self._ids, room))
            self._drawn = np.concatenate((self._drawn, room.astype(np.float32)))
        self._ids[place] = token
        self._drawn[place] += 1

    def penalise(self, scores: Floats, sampling: Sampling) -> None:
        """Apply the three penalties to the scores [vocab] of these tokens, in place."""
        ids, drawn = self._ids[: len(self._places)], self._drawn[: len(self._places)]
        penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
        penalise(scores, ids, drawn, *map(np.float32, penalties))
