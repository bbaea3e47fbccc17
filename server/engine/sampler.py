"""Choosing the next token of one sequence.

Sorting 50,257 tokens for each draw would cost more than all else the sampler does, so nothing here sorts them. Top-k
and min-p first find a score that every kept token reaches, and look only at the tokens that do. Top-p draws from all of
them and asks of the token drawn whether it belongs to the likeliest; if it does not, the next is drawn from those above
it. That is exact, and at the usual top-p one round in ten needs another (the rejection sampling of FlashInfer:
"Sorting-Free GPU Kernels for LLM Sampling", flashinfer.ai, 2025).
"""

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from server.engine.bad_words import BadWords
from server.engine.sampling import Sampling

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]

GREEDY_BELOW = 1e-5
"""Temperatures under this one choose the likeliest token, as in vLLM; float32 could not divide by much less."""

BLOCK = 256
"""A token is drawn in two steps, a block of so many tokens and then one of them: cheaper than cumulating them all."""

SPAN = 512
"""The k highest scores are looked for above the k-th highest of the maxima of spans of so many tokens."""

FLOOR = np.float32(-80.0)
"""Tokens e⁸⁰ times less likely than the likeliest are never drawn; below e⁻⁸⁷ float32 loses digits, and much time."""

NEGLIGIBLE = np.exp(FLOOR)
LOWEST = np.finfo(np.float32).min


class TokenLogprobs(NamedTuple):
    """Natural-log probabilities under the model's own distribution: before penalties, bias and temperature.

    logprob: of the token that was drawn. top: token ids and theirs, the likeliest first and the smaller id first among
    equals; fewer than asked for where fewer tokens are possible at all.
    """

    logprob: float
    top: tuple[tuple[int, float], ...]


class Drawn(NamedTuple):
    """One token, and its probabilities where `Sampling.logprobs` asks for them."""

    token: int
    logprobs: TokenLogprobs | None = None


class Sampler:
    """Draws the tokens of one sequence; a function of the prompt, the sampling, the seed and the logits alone.

    prompt: its token ids. vocab_size: how many ids the tokenizer knows; those that a padded model has beyond them are
    never drawn. end_of_text: the token that `Sampling.ignore_end` and `min_tokens` keep from being drawn. bad_words:
    how those of the sampling are spelled. All ids, those of `Sampling.logit_bias` too, lie below vocab_size.
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
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._vocab_size = vocab_size
        self._end_of_text = end_of_text
        self._greedy = sampling.temperature < GREEDY_BELOW
        self._bias_ids = np.fromiter(sampling.logit_bias.keys(), dtype=np.intp)
        self._bias = np.fromiter(sampling.logit_bias.values(), dtype=np.float32)
        self._bad_words = BadWords(bad_words)
        self._drawn = 0
        penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
        self._occurrences = _Occurrences(prompt) if penalties != (1, 0, 0) else None

    def draw(self, logits: Floats) -> Drawn:
        """The next token, from float32 logits [vocab_size or more], which are left as they are.

        Raises FloatingPointError for logits that hold NaN or +inf, or nothing but -inf.
        """
        logits = logits[: self._vocab_size]
        with np.errstate(over="ignore"):  # what overflows here does so towards -inf: a token that is never drawn
            scores = self._adjust(logits)
            token = int(scores.argmax())
            if not math.isfinite(scores[token]):
                raise FloatingPointError("the model's logits are not finite")
            if not self._greedy:
                token = self._draw_random(scores, scores[token])
            if self._occurrences is not None:
                self._occurrences.add(token)
            self._bad_words.add(token)
            self._drawn += 1
            wanted = self._sampling.logprobs
            return Drawn(token, None if wanted is None else token_logprobs(logits, token, wanted))

    def without_excluded(self, logits: Floats) -> Floats:
        """Logits [vocab] in which what must not come next is the least likely: bad words, the end before its time."""
        scores = logits.copy()
        self._exclude(scores)
        return scores

    @property
    def _endless(self) -> bool:
        return self._sampling.ignore_end or self._drawn < self._sampling.min_tokens

    def _exclude(self, scores: Floats) -> None:
        # Not -inf: guidance may have left nothing else, and then there is nothing else to draw.
        self._bad_words.exclude(scores, LOWEST)
        if self._endless:
            scores[self._end_of_text] = LOWEST

    def _adjust(self, logits: Floats) -> Floats:
        """Bias and penalties, which touch few tokens; `logits` themselves where there are none."""
        if not (self._endless or self._bad_words or self._occurrences is not None or self._bias_ids.size):
            return logits
        scores = _scratch.scores(logits.size)
        np.copyto(scores, logits)
        scores[self._bias_ids] += self._bias
        if self._occurrences is not None:
            self._occurrences.penalise(scores, self._sampling)
        self._exclude(scores)
        return scores

    def _draw_random(self, scores: Floats, highest: np.float32) -> int:
        temperature, top_k, min_p = self._sampling.temperature, self._sampling.top_k, self._sampling.min_p
        if not top_k and not min_p:
            return self._draw_nucleus(scores, highest)
        least = highest + np.float32(temperature * (math.log(min_p) if min_p else float(FLOOR)))
        ids = _likeliest(scores, top_k or scores.size, least)
        return int(ids[self._draw_nucleus(scores[ids], highest)])

    def _draw_nucleus(self, scores: Floats, highest: np.float32) -> int:
        """An index into `scores`, drawn among the likeliest that together reach top-p, the first among equals first."""
        rows = _weigh(scores, highest, self._sampling.temperature)
        weights = rows.reshape(-1)
        cumulated = _cumulate(np.einsum("ij->i", rows))
        enough = self._sampling.top_p * cumulated[-1]
        while True:
            block = self._pick(cumulated)
            place = block * BLOCK + self._pick(_cumulate(rows[block]))
            weight = weights[place]
            if weight <= NEGLIGIBLE:  # raised to FLOOR, or excluded: not possible at all
                continue
            # What lies above is at most all the rest: a token of some weight is taken without a look at the others.
            if self._sampling.top_p == 1 or cumulated[-1] - weight < enough:
                return place
            flags, above = _scratch.flags(weights.size), _scratch.above(weights.size)
            np.greater_equal(weights[:place], weight, out=flags[:place])
            np.greater(weights[place:], weight, out=flags[place:])
            np.copyto(above, flags)  # to float32 once: mixed types are slow
            cumulated = _cumulate(np.einsum("ij,ij->i", rows, above.reshape(rows.shape)))
            if cumulated[-1] < enough:
                return place
            np.multiply(weights, above, out=weights)

    def _pick(self, cumulated: npt.NDArray[np.float64]) -> int:
        """An index, as often as its share of the weights says. One of weight 0 never: random() is below 1."""
        return int(cumulated.searchsorted(self._random.random() * cumulated[-1], side="right"))


def log_sum_exp(logits: Floats) -> float:
    """ln Σ eˣ: what turns logits [vocab] into log-probabilities when it is subtracted. NaN where a logit is NaN."""
    highest = logits.max()
    sums = np.einsum("ij->i", _weigh(logits, highest, 1.0))
    return float(highest) + math.log(sums.sum(dtype=np.float64))


def at_least(scores: Floats, least: np.float32) -> Ids:
    """The ids, in order, of the scores [vocab] that are `least` or more. Fast where they are few."""
    flags = _scratch.flags(-(-scores.size // 8) * 8)
    flags[scores.size :] = False
    np.greater_equal(scores, least, out=flags[: scores.size])
    if np.count_nonzero(flags) > scores.size // 16:
        return np.flatnonzero(flags)
    # numpy looks at one flag after another; eight at a time it is done sooner.
    eights = np.flatnonzero(flags.view(np.uint64) != 0)
    near: Ids = (eights[:, np.newaxis] * 8 + np.arange(8)).ravel()
    return near[flags[near]]


def _likeliest(scores: Floats, count: int, least: np.float32) -> Ids:
    """The ids of the `count` highest scores that are `least` or more, and of equal ones the smaller ids.

    In no order, but that the smaller ids come first among equals.
    """
    spans = np.arange(0, scores.size, SPAN)
    if count <= spans.size:
        # So many spans have a score at least as high as this one: at least so many tokens have.
        least = max(least, np.partition(np.maximum.reduceat(scores, spans), -count)[-count])
    elif count < scores.size:
        least = max(least, np.partition(scores, -count)[-count])
    ids = at_least(scores, least)
    if ids.size <= count:
        return ids
    values = scores[ids]
    last = np.partition(values, -count)[-count]
    above, equal = ids[values > last], ids[values == last]
    return np.concatenate((above, equal[: count - above.size]))


def _weigh(scores: Floats, highest: np.float32, temperature: float) -> Floats:
    """How likely the scores are beside the highest one: weights [blocks, BLOCK] in scratch memory, the last ones 0."""
    blocks = -(-scores.size // BLOCK)
    weights = _scratch.weights(blocks * BLOCK)
    weights[scores.size :] = 0
    exponents = weights[: scores.size]
    np.subtract(scores, highest, out=exponents)
    if temperature != 1:
        np.multiply(exponents, np.float32(1 / temperature), out=exponents)
    if exponents.min() < FLOOR:
        np.maximum(exponents, FLOOR, out=exponents)
    np.exp(exponents, out=exponents)
    return weights.reshape(blocks, BLOCK)


def token_logprobs(logits: Floats, token: int, count: int) -> TokenLogprobs:
    """Of `token`, and of the `count` likeliest, in logits [vocab]; NaN or -inf for logits that hold NaN or +inf."""
    total = log_sum_exp(logits)
    top: list[tuple[int, float]] = []
    if count:
        ids = _likeliest(logits, count, LOWEST)
        ids = ids[np.argsort(-logits[ids], kind="stable")]
        top = [(int(i), float(logits[i]) - total) for i in ids]
    return TokenLogprobs(float(logits[token]) - total, tuple(top))


def _cumulate(weights: Floats) -> npt.NDArray[np.float64]:
    return np.add.accumulate(weights, dtype=np.float64)


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


class _Scratch(threading.local):
    """Memory that every draw writes into, one set for each thread; 50,257 new floats would be 50 page faults a draw."""

    def __init__(self) -> None:
        self._buffers: dict[str, npt.NDArray[Any]] = {}

    def scores(self, size: int) -> Floats:
        return self._get("scores", size, np.float32)

    def weights(self, size: int) -> Floats:
        return self._get("weights", size, np.float32)

    def above(self, size: int) -> Floats:
        return self._get("above", size, np.float32)

    def flags(self, size: int) -> npt.NDArray[np.bool_]:
        return self._get("flags", size, np.bool_)

    def _get(self, name: str, size: int, dtype: type[np.generic]) -> npt.NDArray[Any]:
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, dtype=dtype)
        return buffer[:size]


_scratch = _Scratch()
