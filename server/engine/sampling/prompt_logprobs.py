"""Prompt logprobs: the log probabilities of a prompt's own tokens, for evaluating a text.

The logits after each token are those for the next one. They are used piece by piece during the prefill, so the logits
of a whole prompt, [tokens, vocab], are never in memory.
"""

import math
from collections.abc import Sequence

from server.engine.arrays import Floats
from server.engine.sampling.logprobs import TokenLogprobs
from server.engine.sampling.sampler import token_logprobs


class PromptLogprobs:
    """Collects the log probabilities of a prompt's tokens during its prefill.

    Args:
        prompt: its token ids.
        count: the number of likeliest tokens to list for each position.
        vocab_size: the number of ids in the tokenizer; a padded model's logits beyond it are ignored.
    """

    def __init__(self, prompt: Sequence[int], count: int, vocab_size: int) -> None:
        self._prompt = tuple(prompt)
        self._count = count
        self._vocab_size = vocab_size
        self._values: list[TokenLogprobs | None] = [None]

    def add(self, logits: Floats) -> None:
        """Add the logits after the next tokens of the prompt, float32 [tokens, vocab_size or more]."""
        for row, token in zip(logits, self._prompt[len(self._values) :], strict=False):
            self._values.append(token_logprobs(row[: self._vocab_size], token, self._count))

    @property
    def values(self) -> tuple[TokenLogprobs | None, ...]:
        """The log probabilities of each token; None for the first.

        Raises:
            FloatingPointError: the logits are not finite.
        """
        if not all(math.isfinite(each.logprob) for each in self._values if each is not None):
            raise FloatingPointError("the model's logits are not finite")
        return tuple(self._values)
