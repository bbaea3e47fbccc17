"""How much of a long text the model reads."""

import re

from server.engine import PromptTooLong, Tokenizer

SENTENCE = re.compile(r"""[^\n]*?[.!?…]["'”’)]*\s+|[^\n]*\n+|.+$""", re.DOTALL)


def window(text: str, tokenizer: Tokenizer, room: int) -> str:
    """The end of a text, whole sentences of about `room` tokens at most; the text itself where it fits.

    Where the window begins is for long the same while a text grows, so that the engine finds what it has read before:
    once the window is full, it goes on half empty.
    """
    sentences: list[str] = SENTENCE.findall(text)
    sizes = [_tokens(sentence, tokenizer) for sentence in sentences]
    start, total = 0, 0
    for end, size in enumerate(sizes):
        total += size
        if total > room:
            # Whole sentences, half of what fits; a long one may stay where little would be left without it.
            while start < end and (total > room or (total > room // 2 and total - sizes[start] >= room // 4)):
                total -= sizes[start]
                start += 1
    return _cut("".join(sentences[start:]), tokenizer, room)


def _cut(text: str, tokenizer: Tokenizer, room: int) -> str:
    """Words from the end of a text that may be one sentence without end."""
    while _tokens(text, tokenizer) > room:
        rest = text[len(text) // 4 + 1 :]
        text = rest.partition(" ")[2] or rest
    return text


def _tokens(text: str, tokenizer: Tokenizer) -> int:
    try:
        return len(tokenizer.encode(text))
    except PromptTooLong as error:
        return error.tokens
