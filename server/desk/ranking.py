"""Choosing suggestions among more candidates than are shown.

A candidate's score is log p(text | prompt) + (log p(text | prompt) - log p(text | nothing)), divided by its tokens. The
first term prefers texts that make sense to the model. The second is what a text owes to the writer's words, the mutual
information of Li et al. 2016 (arXiv:1510.03055).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from server.engine import AnyEngine, EngineBusy, EngineUnavailable, Request, Sampling, Stream
from server.writing.brief import Brief
from server.writing.plot import Plot

CANDIDATES = 6
"""Candidates for three suggestions."""

ALIKE = 0.5
"""Two texts are alike if they share more than this part of all their words."""

PAUSE = 0.05
"""Seconds between attempts to submit a text to a busy engine."""


async def scores(
    engine: AnyEngine,
    brief: Brief,
    plots: Sequence[Plot],
    texts: Sequence[str],
    client: str,
    stopped: Callable[[], bool],
) -> list[float]:
    """Return the score of each plot, in nats per token. Raises EngineError.

    Args:
        plots: with their log probabilities, at their end.
        texts: their texts.
        stopped: when it returns True, nobody needs the scores any more.
    """
    manifest, tokenizer = engine.bundle.manifest, engine.tokenizer
    opening = tokenizer.encode(manifest.prompt.fill("", brief.genre, begins=False).rstrip())
    # All are encoded before any is submitted, so the engine finds them together in its queue.
    encoded = [tokenizer.encode(text)[: manifest.model.context - len(opening)] for text in texts]

    async def score(plot: Plot, tokens: Sequence[int]) -> float:
        if not (brief.prompt and tokens):  # on a blank page, there are no words to owe anything to
            return plot.logprob / max(plot.tokens, 1)
        request = Request([*opening, *tokens], Sampling(max_tokens=0), prompt_logprobs=0, client=client)
        if (stream := await _submitted(engine, request, stopped)) is None:
            return 0.0
        chunks = [chunk async for chunk in stream]
        alone = sum(each.logprob for chunk in chunks for each in chunk.prompt_logprobs[-len(tokens) :] if each)
        return (2 * plot.logprob - alone) / max(plot.tokens, 1)

    return await asyncio.gather(*(score(plot, tokens) for plot, tokens in zip(plots, encoded, strict=True)))


async def best(
    texts: Sequence[str],
    whole: Sequence[bool],
    score: Callable[[Sequence[int]], Awaitable[Sequence[float]]],
    count: int,
    first: int,
) -> list[int]:
    """Return the same as `chosen`, and score only the texts that it needs the scores of.

    Args:
        score: returns the scores of the texts at these indices.
    """
    found: dict[int, float] = {}
    for ended in (True, False):  # broken texts come last, so their scores count only if one of them is chosen
        needed = [index for index in range(first, len(texts)) if whole[index] == ended]
        found |= zip(needed, await score(needed), strict=True)
        indices = chosen(texts, whole, [found.get(index, 0.0) for index in range(len(texts))], count, first)
        if all(whole[index] for index in indices[first:]):
            break
    return indices


def chosen(texts: Sequence[str], whole: Sequence[bool], scores: Sequence[float], count: int, first: int) -> list[int]:
    """Return the indices of `count` texts, or of all if there are fewer.

    Whole texts come before broken ones, and those unlike the texts before them come before all others. The first
    `first` texts are chosen in any case.

    Args:
        whole: True for each text that ended by itself.
        scores: the higher, the better. Those of the first texts do not count.
    """
    found = list(range(min(first, len(texts))))
    rest = sorted(range(len(found), len(texts)), key=lambda index: (not whole[index], -scores[index]))
    while rest and len(found) < count:
        unlike = (
            index for index in rest if texts[index] and not any(alike(texts[index], texts[each]) for each in found)
        )
        index = next(unlike, rest[0])
        rest.remove(index)
        found.append(index)
    return found


def alike(one: str, other: str) -> bool:
    """Return True if two texts have most of their words in common."""
    words, others = (set(re.findall(r"\w+", text.casefold())) for text in (one, other))
    return len(words & others) > ALIKE * len(words | others)


async def _submitted(engine: AnyEngine, request: Request, stopped: Callable[[], bool]) -> Stream | None:
    """Submit a request as soon as the engine has room for it. Return None if it is not needed any more.

    Raises EngineUnavailable.

    The choice must not depend on how busy the engine is: the same seed shows the same texts.
    """
    while not stopped():
        try:
            return engine.submit(request)
        except EngineUnavailable:  # it may never have room again
            raise
        except EngineBusy:
            await asyncio.sleep(PAUSE)
    return None
