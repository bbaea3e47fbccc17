"""A closed loop on the engine: so many clients, each with one request at a time, the next as soon as it ends."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.timing import Timing
from server.bundle import Bundle
from server.engine import Engine, Request, Sampling

Prompt = tuple[int, ...]


def make_prompts(bundle: Bundle, count: int, tokens: int, seed: int = 0) -> list[Prompt]:
    """`count` prompts of `tokens` random tokens each, never the end of text; the same seed gives the same prompts."""
    ids = np.random.default_rng(seed).integers(0, bundle.tokenizer.get_vocab_size() - 1, (count, tokens))
    ids += ids >= bundle.manifest.model.end_of_text
    return [tuple(row) for row in ids.tolist()]


def run_load(engine: Engine, prompts: Sequence[Prompt], sampling: Sampling, concurrency: int) -> list[Timing]:
    """Whole requests through the engine's public interface, one for each of `prompts`, by `concurrency` clients.

    The clients are tasks on one event loop, as they are in the server. Each request gets a seed of its own, and all the
    tokens that `sampling` allows: the end of text does not end it, so that the work is the same in every run.
    """
    numbered = iter(enumerate(prompts))

    async def ask(timings: list[Timing]) -> None:
        for seed, prompt in numbered:
            submitted = time.perf_counter()
            stream = engine.submit(Request(prompt, replace(sampling, seed=seed, ignore_end=True)))
            arrivals = [(time.perf_counter(), len(chunk.token_ids)) async for chunk in stream]
            timings.append(Timing(submitted, arrivals[-1][0], tuple(arrival for arrival in arrivals if arrival[1])))

    async def ask_all() -> list[Timing]:
        timings: list[Timing] = []
        async with asyncio.TaskGroup() as clients:
            for _ in range(concurrency):
                clients.create_task(ask(timings))
        return timings

    return asyncio.run(ask_all())
