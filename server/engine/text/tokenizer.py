"""The tokenizer of a bundle: encodes text as token ids, and checks prompts."""

import operator
import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import tokenizers

from server.engine.errors import InvalidRequest, PromptTooLong
from server.engine.text.detokenizer import token_bytes

SAMPLE = 4096
"""Characters to tokenize of a text far too long, to estimate its number of tokens."""


class Tokenizer:
    """A byte-level tokenizer, for a model with a context of `context` tokens.

    Attributes:
        token_bytes: the bytes of each token, by token id; special tokens have none.
        size: the number of tokens.

    Raises:
        BundleError: the tokenizer is not byte-level.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, context: int) -> None:
        self.token_bytes = token_bytes(tokenizer)
        self.size = len(self.token_bytes)
        self._tokenizer = tokenizer
        self._context = context
        # A text with more characters than this cannot fit, whatever it says: each token stands for a few bytes at most.
        self._most = context * max(map(len, self.token_bytes))

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text.

        Raises:
            InvalidRequest: it is not Unicode text.
            PromptTooLong: it cannot fit into the context. Raised without tokenizing all of it.
        """
        if len(text) > self._most:
            # Estimate the tokens of the text from its beginning; there are more than fit in any case.
            sample = text[: min(self._most, SAMPLE)]
            tokens = len(self.encode(sample)) * len(text) // len(sample)
            raise PromptTooLong(max(tokens, self._context + 1), self._context - 1)
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        except TypeError as error:
            raise InvalidRequest("the prompt is not Unicode text: it has half a surrogate pair") from error

    def spell(self, token: int) -> bytes:
        """Return the bytes of a token; for a special token, the bytes of its name."""
        return self.token_bytes[token] or str(self._tokenizer.id_to_token(token)).encode()

    @cached_property
    def lengthening(self) -> npt.NDArray[np.intp]:
        """The ids of tokens that lengthen a word before them: they begin with a letter, a digit or a hyphen."""
        texts = [each.decode(errors="ignore") for each in self.token_bytes]
        found = (token for token, text in enumerate(texts) if re.match(r"[^\W_]|-(?!-)", text))
        return np.fromiter(found, dtype=np.intp)

    def spellings(self, word: str) -> list[list[int]]:
        """Return the token ids of each form of a word: with or without a space before it, capitalized or not."""
        written = dict.fromkeys((word, word.lower(), word.capitalize()))
        return [ids for each in written for text in (each, f" {each}") if (ids := self.encode(text))]

    def encode_prompt(self, given: str | Sequence[int], longest: int) -> list[int]:
        """Return the token ids of a prompt, given as text or as ids.

        Raises:
            InvalidRequest: the prompt is empty or not valid. PromptTooLong if it has more than `longest` tokens.
        """
        if isinstance(given, str):
            prompt = self.encode(given)
        else:
            try:
                prompt = [operator.index(token) for token in given]
            except TypeError as error:
                raise InvalidRequest("the prompt is neither text nor a list of token ids") from error
        if not prompt:
            raise InvalidRequest("the prompt is empty; give it at least one token")
        if len(prompt) > longest:
            raise PromptTooLong(len(prompt), longest)
        if not 0 <= min(prompt) <= max(prompt) < self.size:
            raise InvalidRequest(f"a token id of the prompt is outside the vocabulary (0 to {self.size - 1})")
        return prompt
