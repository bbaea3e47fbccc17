"""What a writer feels beside throughput: asking again for a long text, and a long one that arrives among streams."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.load import Prompt, make_prompts
from server.engine import Engine, Request, Sampling

PROMPT_TOKENS = 64
"""Of each of the running streams."""

ARRIVES_AFTER = 24
"""Tokens that the running streams have written when the long prompt arrives."""


@dataclass(frozen=True)
class Again:
    """Seconds to the first token of texts that the engine reads for the first time, and of the same ones again."""

    cold: list[float]
    again: list[float]

    @property
    def ratio(self) -> float:
        """Of the medians, again to cold."""
        return median(self.again) / median(self.cold)


@dataclass(frozen=True)
class LongArrival:
    """Seconds between tokens of streams among which a long prompt arrives, and to its own first token."""

    gaps: list[float]
    time_to_first_token: float

    @property
    def ratio(self) -> float:
        """The 99th percentile of the gaps to their median."""
        return float(np.percentile(self.gaps, 99)) / median(self.gaps)


def ask_again(engine: Engine, tokens: int, rounds: int) -> Again:
    """So many texts of `tokens` tokens, each asked for twice with different seeds, nothing else running."""

    def first_token(prompt: Prompt, seed: int) -> float:
        start = time.perf_counter()
        stream = engine.submit(Request(prompt, Sampling(4, temperature=0.8, top_p=0.9, seed=seed, ignore_end=True)))
        next(stream)
        took = time.perf_counter() - start
        list(stream)
        return took

    # More than the rounds: the first text warms.
    pairs = [
        (first_token(prompt, 1), first_token(prompt, 2)) for prompt in make_prompts(engine.bundle, rounds + 1, tokens)
    ]
    return Again([cold for cold, _ in pairs[1:]], [again for _, again in pairs[1:]])


def arrive_among(engine: Engine, streams: int, new_tokens: int, long_tokens: int, seed: int) -> LongArrival:
    """`streams` streams of `new_tokens` tokens each, and a prompt of `long_tokens` that arrives while they run.

    Another seed makes other prompts: the engine must not have read them before.
    """
    prompts = make_prompts(engine.bundle, streams, PROMPT_TOKENS, seed)
    (long,) = make_prompts(engine.bundle, 1, long_tokens, seed)

    async def read(prompt: Prompt, tokens: int, begun: asyncio.Event | None = None) -> Sequence[float]:
        sampling = Sampling(tokens, temperature=0.8, top_p=0.9, seed=1, ignore_end=True)
        times = [time.perf_counter()]
        async for _ in engine.submit(Request(prompt, sampling)):
            times.append(time.perf_counter())
            if begun is not None and len(times) > ARRIVES_AFTER:
                begun.set()
        return times

    async def read_all() -> LongArrival:
        begun = asyncio.Event()
        running = [asyncio.create_task(read(prompt, new_tokens, begun)) for prompt in prompts]
        await begun.wait()
        arrived = await read(long, 4)
        times = await asyncio.gather(*running)
        # From the first token on: before it, the streams wait for one another's prompts.
        gaps = [float(gap) for each in times for gap in np.diff(each[ARRIVES_AFTER // 2 :])]
        return LongArrival(gaps, arrived[1] - arrived[0])

    return asyncio.run(read_all())
