"""Twice as many requests as the server can serve."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from time import perf_counter

import aiohttp
import numpy as np

from benchmarks.trust.asking import Answer, Order, ask, orders
from benchmarks.trust.filling import fill
from benchmarks.trust.row import Row
from benchmarks.trust.target import Target, connect
from server.bundle import Bundle

TOKENS = 64
OVERLOAD = 2.0
RATIO = 2.0
"""The 95th percentile of the time to the first token may be so many times that at capacity."""

WARMING = 2.0
"""Seconds."""

SETTLING = 0.2
"""Share of a phase in which it comes to its pace; it is not counted."""


@dataclass(frozen=True)
class Phase:
    """What came of a load. rate: answers a second. first_token: 95th percentile, in seconds from when it was due."""

    rate: float
    first_token: float
    ends: Counter[str]
    problems: list[str]


def overload(target: Target, seconds: int, seed: int, advance: Callable[[], None]) -> Row:
    """Capacity first, for a fifth of `seconds`, then twice that for `seconds`; `advance` is called each second of that.

    Capacity is what the server does while its rows are full and nobody waits for one. Then requests arrive at random, a
    Poisson process, however many are under way. Both are the same mixture of all kinds.
    """
    manifest = Bundle.load(target.bundle).manifest
    wanted = orders(seed, TOKENS, manifest.prompt.genres)

    async def run(model: str) -> tuple[Phase, Phase]:
        async with connect(server) as session:
            await _closed_loop(session, model, wanted, target.rows, WARMING)
            at_capacity = await _closed_loop(session, model, wanted, target.rows, max(seconds / 5, 3))
            ticking = asyncio.create_task(_tick(advance))
            over = await _open_loop(session, model, wanted, OVERLOAD * at_capacity.rate, seconds, seed)
            ticking.cancel()
        return at_capacity, over

    with target.serve("overload") as server:
        capacity, over = asyncio.run(run(server.model))
    ratio = over.first_token / capacity.first_token
    asked = sum(over.ends.values())
    clean = over.ends["whole"] + over.ends["refused"]
    problems = [*capacity.problems, *over.problems]
    return Row(
        f"mixed load at twice capacity for {seconds / 60:.3g} minutes",
        f"every request ends in a whole answer or a clean 503; p95 first token within {RATIO:g} × of that at capacity",
        f"{over.ends['whole']:,} whole, {over.ends['refused']:,} refused, {asked - clean} others of {asked:,}; "
        f"p95 first token {ratio:.2f} × ({over.first_token:.2f} s, at capacity {capacity.first_token:.2f} s)"
        + "".join(f"; {problem}" for problem in problems[:3]),
        not problems and clean == asked and ratio <= RATIO,
        {
            "capacity": capacity.rate,
            "rate": OVERLOAD * capacity.rate,
            "goodput": over.rate,
            "ends": dict(over.ends),
            "first_token_at_capacity": capacity.first_token,
            "first_token": over.first_token,
            "ratio": ratio,
            "problems": problems,
        },
    )


async def _closed_loop(
    session: aiohttp.ClientSession, model: str, wanted: Iterator[Order], rows: int, seconds: float
) -> Phase:
    start = perf_counter()
    answers: list[Answer] = []

    async def come(order: Order) -> None:
        answers.append(await ask(session, model, Answer(order)))

    await fill(rows, takewhile(lambda _: perf_counter() < start + seconds, wanted), come)
    return _phase(answers, start + SETTLING * seconds, start + seconds)


async def _open_loop(
    session: aiohttp.ClientSession, model: str, wanted: Iterator[Order], rate: float, seconds: float, seed: int
) -> Phase:
    draw = random.Random(seed)
    start = due = perf_counter()
    asking: list[asyncio.Task[Answer]] = []
    while (due := due + draw.expovariate(rate)) < start + seconds:
        await asyncio.sleep(due - perf_counter())
        asking.append(asyncio.create_task(ask(session, model, Answer(next(wanted), due))))
    answers = await asyncio.gather(*asking)
    return _phase(answers, start + SETTLING * seconds, start + seconds)


def _phase(answers: Sequence[Answer], start: float, end: float) -> Phase:
    """Every end counts; rate and first token are those of the time from `start` to `end`."""
    first = [answer.first - answer.due for answer in answers if answer.first and start <= answer.first < end]
    whole = sum(answer.end == "whole" and start <= (answer.ended or 0) < end for answer in answers)
    return Phase(
        whole / (end - start),
        float(np.percentile(first, 95)) if first else float("nan"),
        Counter(str(answer.end) for answer in answers),
        sorted(
            {f"{answer.order.kind}: {answer.problem}" for answer in answers if answer.end not in ("whole", "refused")}
        ),
    )


async def _tick(advance: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1)
        advance()
