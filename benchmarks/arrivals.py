"""The command `plotify bench arrivals`: asking again for a long text, and a long prompt that arrives among streams."""

import asyncio
import time
from statistics import median
from typing import Annotated

import numpy as np
from rich.console import Console

from benchmarks import frame
from benchmarks.engine import open_engine
from benchmarks.latency import milliseconds
from benchmarks.workload import Prompt, make_prompts
from server.engine import Engine, Request, Sampling

PROMPT_TOKENS = 64
"""Of each of the running streams."""

Arrival = tuple[list[float], float]

ARRIVES_AFTER = 24
"""Tokens that the running streams have when the long prompt arrives."""


@frame.command
def arrivals(
    model: frame.Model,
    precision: frame.Precision,
    device: frame.Device,
    again_tokens: Annotated[int, frame.count(512, "Of a text asked twice.", least=33)],
    streams: Annotated[int, frame.count(16, "That run when the other comes.")],
    long_tokens: Annotated[int, frame.count(900, "Of the prompt that comes.")],
    new_tokens: Annotated[int, frame.count(160, "Of each stream.", least=32)],
    rounds: Annotated[int, frame.count(5)],
    json_file: frame.JsonFile,
) -> None:
    """Asking again for a long text, and a long text that arrives among running streams, as a writer feels them.

    "Again" is the time to the first token of a text that was read before, beside that of the first time. The streams'
    gaps are the seconds between their tokens from before the long prompt arrives to their end.

    \b
    Example:
      plotify bench arrivals --model gpt2-small --precision int8
    """
    with open_engine(model, precision, device, 0, 64) as running:
        for read, written in ((again_tokens, 4), (long_tokens, 4), (PROMPT_TOKENS, new_tokens)):
            frame.check_context(running.bundle.manifest.model.context, read, written)
        with Console(stderr=True).status("Asking again"):
            cold, again = ask_again(running, again_tokens, rounds)
        with Console(stderr=True).status("Letting a long prompt arrive"):
            turns = [arrive_among(running, streams, new_tokens, long_tokens, seed) for seed in range(rounds + 1)]
        arrived = turns[1:]  # the first one warms
    ratio = median(again) / median(cold)
    ratios = [float(np.percentile(gaps, 99)) / median(gaps) for gaps, _ in arrived]
    gap = median(gap for gaps, _ in arrived for gap in gaps)
    name = running.bundle.manifest.name
    frame.print_table(
        f"{name}, {running.precision}",
        ("", ""),
        (
            (f"first token, {again_tokens} tokens read", f"{milliseconds(median(cold))} ms"),
            ("the same text again", f"{milliseconds(median(again))} ms, {ratio:.1%}"),
            (f"{streams} streams: gap between tokens, p50", f"{milliseconds(gap)} ms"),
            (f"p99, while {long_tokens} tokens arrive", f"{median(ratios):.2f} times that (median of {rounds} rounds)"),
            ("first token of these", f"{milliseconds(median(first for _, first in arrived))} ms"),
        ),
    )
    results = [
        {"again_tokens": again_tokens, "ratio": ratio, "cold": cold, "again": again},
        {"streams": streams, "long_tokens": long_tokens, "ratio": median(ratios), "rounds": ratios},
    ]
    frame.write_json(json_file, frame.settings("rounds", model=name, precision=running.precision), results)


def ask_again(engine: Engine, tokens: int, rounds: int) -> tuple[list[float], list[float]]:
    """Asks for so many texts of `tokens` tokens twice, with different seeds, nothing else running.

    Returns the seconds to the first token of each, when the engine reads it for the first time, and again.
    """

    def first_token(prompt: Prompt, seed: int) -> float:
        start = time.perf_counter()
        stream = engine.submit(Request(prompt, Sampling(4, temperature=0.8, top_p=0.9, seed=seed, ignore_end=True)))
        next(stream)
        took = time.perf_counter() - start
        list(stream)
        return took

    # More than the rounds: the first text warms.
    prompts = make_prompts(engine.bundle, rounds + 1, tokens)
    _, *pairs = [(first_token(prompt, 1), first_token(prompt, 2)) for prompt in prompts]
    return [cold for cold, _ in pairs], [again for _, again in pairs]


def arrive_among(engine: Engine, streams: int, new_tokens: int, long_tokens: int, seed: int) -> Arrival:
    """Runs `streams` streams of `new_tokens` tokens each; a prompt of `long_tokens` arrives while they run.

    Another seed makes other prompts: the engine must not have read them before. Returns the seconds between the tokens
    of the streams, and those to the first token of the long prompt.
    """
    prompts = make_prompts(engine.bundle, streams, PROMPT_TOKENS, seed)
    (long,) = make_prompts(engine.bundle, 1, long_tokens, seed)

    async def read(prompt: Prompt, tokens: int, begun: asyncio.Event) -> list[float]:
        sampling = Sampling(tokens, temperature=0.8, top_p=0.9, seed=1, ignore_end=True)
        times = [time.perf_counter()]
        async for _ in engine.submit(Request(prompt, sampling)):
            times.append(time.perf_counter())
            if len(times) > ARRIVES_AFTER:
                begun.set()
        return times

    async def read_all() -> Arrival:
        begun = asyncio.Event()
        running = [asyncio.create_task(read(prompt, new_tokens, begun)) for prompt in prompts]
        await begun.wait()
        arrived = await read(long, 4, begun)
        times = await asyncio.gather(*running)
        # From the first token on: before it, the streams wait for one another's prompts.
        gaps = [float(gap) for each in times for gap in np.diff(each[ARRIVES_AFTER // 2 :])]
        return gaps, arrived[1] - arrived[0]

    return asyncio.run(read_all())
