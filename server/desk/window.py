"""Cuts a long text to the part for the model."""

import re
from collections.abc import Iterator

from server.engine import PromptTooLong, Tokenizer

SENTENCE = re.compile(r"""[^\n]*?(?:[.!?…]["'”’)]*\s+|[。！？]["”’)」』]*\s*)|[^\n]*\n+|.+$""", re.DOTALL)


def window(text: str, tokenizer: Tokenizer, room: int) -> str:
    """Return the end of a text: whole sentences, with about `room` tokens at most.

    While a text grows, its window keeps the same beginning for long, for the engine's prefix cache: a full window
    moves on by half.
    """
    sentences = list(_sentences(text, room // 16))
    sizes = [_tokens(sentence, tokenizer) for sentence in sentences]
    start, total = 0, 0
    for end, size in enumerate(sizes):
        total += size
        if total > room:
            # Drop whole sentences until half is full. Keep a long one if little would be left without it.
            while start < end and (total > room or (total > room // 2 and total - sizes[start] >= room // 4)):
                total -= sizes[start]
                start += 1
    return _cut("".join(sentences[start:]), tokenizer, room)


def _sentences(text: str, shortest: int) -> Iterator[str]:
    """Yield the sentences of a text, several together until they have `shortest` characters."""
    start = 0
    for found in SENTENCE.finditer(text):
        if found.end() - start >= shortest:
            yield text[start : found.end()]
            start = found.end()
    if start < len(text):
        yield text[start:]


def _cut(text: str, tokenizer: Tokenizer, room: int) -> str:
    """Return words from the end of a text, for a sentence that is too long by itself."""
    while _tokens(text, tokenizer) > room:
        rest = text[len(text) // 4 + 1 :]
        text = rest.partition(" ")[2] or rest
    return text


def _tokens(text: str, tokenizer: Tokenizer) -> int:
    try:
        return len(tokenizer.encode(text))
    except PromptTooLong as error:
        return error.tokens
