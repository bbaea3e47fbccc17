"""A bundle's tokenizer: text to token ids, and the check of prompts."""

import operator
from collections.abc import Sequence

import tokenizers

from server.engine.errors import InvalidRequest, PromptTooLong
from server.engine.text.detokenizer import token_bytes

SAMPLE = 4096
"""Characters by which the tokens of a text that is far too long are guessed."""


class Tokenizer:
    """A byte-level tokenizer, for a model that reads `context` tokens.

    token_bytes: the bytes of each token, by token id; none for special tokens. size: the number of tokens. Raises
    BundleError for a tokenizer that is not byte-level.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, context: int) -> None:
        self.token_bytes = token_bytes(tokenizer)
        self.size = len(self.token_bytes)
        self._tokenizer = tokenizer
        self._context = context
        # Each token of a text stands for some of its bytes, so that a longer one cannot be read, whatever it says.
        self._most = context * max(map(len, self.token_bytes))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text. Raises InvalidRequest for what is not Unicode text.

        Raises PromptTooLong, before all of it is tokenized, for a text that cannot fit into the context.
        """
        if len(text) > self._most:
            # As many tokens to the character as its beginning has; in any case more than fit.
            sample = text[: min(self._most, SAMPLE)]
            tokens = len(self.encode(sample)) * len(text) // len(sample)
            raise PromptTooLong(max(tokens, self._context + 1), self._context - 1)
        try:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        except TypeError as error:
            raise InvalidRequest("the prompt is not Unicode text: it holds half a surrogate pair") from error

    def spell(self, token: int) -> bytes:
        """The bytes of a token; of a special token, its name."""
        return self.token_bytes[token] or str(self._tokenizer.id_to_token(token)).encode()

    def spellings(self, word: str) -> list[list[int]]:
        """The token ids of the forms of a word: first in the text or not, capitalized or not."""
        written = dict.fromkeys((word, word.lower(), word.capitalize()))
        return [ids for each in written for text in (each, f" {each}") if (ids := self.encode(text))]

    def encode_prompt(self, given: str | Sequence[int], longest: int) -> list[int]:
        """The token ids of a prompt, given as text or as ids.

        Raises InvalidRequest; PromptTooLong for more than `longest` tokens.
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
            raise InvalidRequest(f"a token id of the prompt lies outside the vocabulary (0 to {self.size - 1})")
        return prompt
