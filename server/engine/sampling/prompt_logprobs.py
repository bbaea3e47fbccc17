"""The log probabilities of a prompt's own tokens, to evaluate a text by them.

The logits after each token are for the token behind it. They are used as soon as they are there, a piece of the prompt
at a time, so that all [tokens, vocab] of them are never in memory.
"""

import math
from collections.abc import Sequence

from server.engine.sampling.kernels import Floats
from server.engine.sampling.sampler import TokenLogprobs, token_logprobs


class PromptLogprobs:
    """Gathers the log probabilities of a prompt's tokens during its prefill.

    prompt: its token ids. count: the number of likeliest tokens to list in each place. vocab_size: the number of ids
    that the tokenizer knows; the logits that a padded model has beyond them are ignored.
    """

    def __init__(self, prompt: Sequence[int], count: int, vocab_size: int) -> None:
        self._prompt = tuple(prompt)
        self._count = count
        self._vocab_size = vocab_size
        self._values: list[TokenLogprobs | None] = [None]

    def add(self, logits: Floats) -> None:
        """Adds the float32 logits [tokens, vocab_size or more] after the next tokens of the prompt."""
        for row, token in zip(logits, self._prompt[len(self._values) :], strict=False):
            self._values.append(token_logprobs(row[: self._vocab_size], token, self._count))

    @property
    def values(self) -> tuple[TokenLogprobs | None, ...]:
        """One entry for each token, None for the first.

        Raises FloatingPointError for logits that are not finite.
        """
        if not all(math.isfinite(each.logprob) for each in self._values if each is not None):
            raise FloatingPointError("the model's logits are not finite")
        return tuple(self._values)
