"""The log probabilities of a prompt's own tokens: how well the model foretells a text that it did not write.

The logits after each token are for the token behind it. They are looked at as soon as they are there, a piece of the
prompt at a time, so that [tokens, vocab] of them are never kept.
"""

import math
from collections.abc import Sequence

from server.engine.sampling.kernels import Floats
from server.engine.sampling.sampler import TokenLogprobs, token_logprobs

PromptLogprobs = tuple[TokenLogprobs | None, ...]


class Scores:
    """Gathers the log probabilities of a prompt's tokens while it is read from its beginning.

    prompt: its token ids. count: of how many of the likeliest tokens to tell. vocab_size: how many ids the tokenizer
    knows; what a padded model has beyond them counts for nothing.
    """

    def __init__(self, prompt: Sequence[int], count: int, vocab_size: int) -> None:
        self._prompt = tuple(prompt)
        self._count = count
        self._vocab_size = vocab_size
        self._found: list[TokenLogprobs | None] = [None]

    def add(self, logits: Floats) -> None:
        """Takes the logits [tokens, vocab_size or more] after the tokens that come next; after the last, for none."""
        for row, token in zip(logits, self._prompt[len(self._found) :], strict=False):
            self._found.append(token_logprobs(row[: self._vocab_size], token, self._count))

    @property
    def found(self) -> PromptLogprobs:
        """One for each token, None for the first; of a prompt that was read whole.

        Raises FloatingPointError where the logits were not finite.
        """
        if not all(math.isfinite(each.logprob) for each in self._found if each is not None):
            raise FloatingPointError("the model's logits are not finite")
        return tuple(self._found)
