"""Choosing the next token of one sequence."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from server.engine.sampling import Sampling


class Sampler:
    """Draws the tokens of one sequence; a function of the prompt, the sampling, the seed and the logits alone.

    vocab_size: how many ids the tokenizer knows; those that a padded model has beyond them are never drawn.
    """

    def __init__(self, sampling: Sampling, seed: int, prompt: Sequence[int], vocab_size: int) -> None:
        self._sampling = sampling
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._seen = np.zeros(vocab_size, dtype=np.bool_)
        self._seen[list(prompt)] = True

    def draw(self, logits: npt.NDArray[np.float32]) -> int:
        """The next token id, from logits [vocab]. Raises FloatingPointError for logits that hold NaN or +inf."""
        scores = logits[: self._seen.size].astype(np.float64)
        if not np.isfinite(scores.max()):
            raise FloatingPointError("the model's logits are not finite")
        if self._sampling.repetition_penalty != 1:
            seen = scores[self._seen]
            penalty = self._sampling.repetition_penalty
            scores[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        token = int(scores.argmax()) if self._sampling.temperature == 0 else self._draw_random(scores)
        self._seen[token] = True
        return token

    def _draw_random(self, scores: npt.NDArray[np.float64]) -> int:
        candidates, top_k = np.arange(scores.size), self._sampling.top_k
        if 0 < top_k < scores.size:
            candidates = np.sort(np.argpartition(scores, -top_k)[-top_k:])
        # Likeliest first, ties by token id, so that the order is the same everywhere.
        candidates = candidates[np.argsort(-scores[candidates], kind="stable")]
        with np.errstate(over="ignore"):
            weights = np.exp((scores[candidates] - scores[candidates[0]]) / self._sampling.temperature)
        cumulated = np.cumsum(weights)
        kept = cumulated.size
        if self._sampling.top_p < 1:
            kept = min(int(np.searchsorted(cumulated, self._sampling.top_p * cumulated[-1])) + 1, kept)
        position = np.searchsorted(cumulated[:kept], self._random.random() * cumulated[kept - 1], side="right")
        return int(candidates[min(int(position), kept - 1)])
