"""The likeliest words at a place in a text."""

import asyncio
import math
import re
from dataclasses import replace

from msgspec import Struct

from server.engine import AnyEngine, Request, Sampling, Stream
from server.engine.request import MAX_LOGPROBS

SHOWN = 8
"""Words to show."""

MOST_TOKENS = 6
"""Tokens of a word, at most."""

LONGEST = 64
"""Characters of a word whose probability is told."""

WORD = re.compile(r"\s*(?:\w+(?:['’-]\w+)*|[^\w\s]+)?")
"""A word or a punctuation mark at the beginning of a text, with the space before it."""

QUOTES = frozenset("\"'“”‘’«»")
"""A word of these alone helps nobody: it says nothing of what would be quoted."""

BROKEN = "\ufffd"
"""Stands in a decoded text for tokens that are only a part of a character."""


class Word(Struct, frozen=True):
    """A word that could stand at a place.

    probability: of its tokens, in the model's own distribution. space: True if a space is due before it.
    """

    word: str
    probability: float
    space: bool


async def likeliest_words(
    engine: AnyEngine, request: Request, bare: bool, standing: str = "", avoid: tuple[str, ...] = ()
) -> list[Word]:
    """Return the likeliest words after a prompt, the likeliest first. Raises EngineBusy and EngineError.

    The model names its likeliest first tokens. Then it completes all of them at once, each greedily to the end of its
    word. For that, most of the prompt comes from the prefix cache.

    Args:
        request: only the prompt and the client count.
        bare: no space is due after the prompt's text.
        standing: the word in this place now, with a space before it if one is due. It is in the list in any case.
        avoid: words to leave out.
    """
    asked = replace(request, against=None, sampling=Sampling(max_tokens=1, temperature=0, logprobs=MAX_LOGPROBS))
    chunks = [chunk async for chunk in engine.submit(asked)]
    top = [token for chunk in chunks for each in chunk.logprobs for token, _ in each.top]
    end = engine.bundle.manifest.model.end_of_text
    openings: list[tuple[int, ...]] = [(token,) for token in top if token != end]
    # The engine may have fewer rows, or allow a client fewer sequences.
    most = min(engine.config.rows, engine.config.per_client or engine.config.rows)
    spelled = tuple(engine.tokenizer.encode(standing)) if len(standing) <= LONGEST else ()
    if spelled:
        openings.insert(0, spelled)
    openings = openings[:most]
    if not openings:
        return []
    greedy = Sampling(max_tokens=max(MOST_TOKENS, len(spelled)), temperature=0, logprobs=0)
    streams = engine.submit_several(replace(asked, sampling=greedy, openings=tuple(openings)), len(openings))
    completed = await asyncio.gather(*(_completed(stream) for stream in streams))
    here = standing.strip()
    return _listed([(standing, completed[0][1]), *completed[1:]] if spelled else completed, bare, here, avoid)


async def _completed(stream: Stream) -> tuple[str, float]:
    """Return the first word of a continuation, with its spaces, and its probability. Stop behind it."""
    word, logprob = "", 0.0
    async for chunk in stream:
        text = word + chunk.text
        found = WORD.match(text)
        length = found.end() if found else 0
        if word.strip() and length <= len(word):
            break
        word = text[:length]
        logprob += sum(each.logprob for each in chunk.logprobs[: len(chunk.token_ids)])
        if length < len(text):
            break
    stream.cancel()
    return word, math.exp(logprob)


def _listed(found: list[tuple[str, float]], bare: bool, standing: str, avoid: tuple[str, ...]) -> list[Word]:
    avoided = {word.casefold() for word in avoid}
    words: dict[str, Word] = {}
    for spelled, probability in sorted(found, key=lambda each: -each[1]):
        word, spaced = spelled.strip(), spelled[:1].isspace()
        whole = spelled.lstrip(" ") == word and BROKEN not in word
        fits = whole and (spaced or not bare) and word.casefold() not in avoided and not QUOTES.issuperset(word)
        if word == standing or (word and fits):
            words.setdefault(word, Word(word, probability, spaced and not bare))
    shown = list(words.values())
    return shown[:SHOWN] + [word for word in shown[SHOWN:] if word.word == standing]
