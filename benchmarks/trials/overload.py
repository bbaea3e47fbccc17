"""Twice as many requests as the server can serve."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from time import perf_counter

import aiohttp
import numpy as np

from benchmarks.client import Reply, SampleRequest, ask, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials.result import TrialResult
from benchmarks.trials.target import Target

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
    """The figures of a load. rate: answers a second. first_token: 95th percentile, in seconds from when it was due."""

    rate: float
    first_token: float
    ends: Counter[str]
    problems: list[str]


def overload(target: Target, seconds: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Capacity first, for a fifth of `seconds`, then twice that for `seconds`; `advance` is called each second of that.

    Capacity is the rate of the server while its rows are full and nobody waits for one. Then requests arrive at random,
    a Poisson process, however many are under way. Both are the same mixture of all kinds.
    """
    wanted = sample_requests(seed, TOKENS, target.genres)

    async def run(server: Serving) -> tuple[Phase, Phase]:
        async with connect(server) as session:
            await _closed_loop(session, server.model, wanted, target.rows, WARMING)
            at_capacity = await _closed_loop(session, server.model, wanted, target.rows, max(seconds / 5, 3))
            ticking = asyncio.create_task(_tick(advance))
            over = await _open_loop(session, server.model, wanted, OVERLOAD * at_capacity.rate, seconds, seed)
            ticking.cancel()
        return at_capacity, over

    with target.serve("overload") as server:
        capacity, over = asyncio.run(run(server))
    ratio = over.first_token / capacity.first_token
    asked, whole, refused = over.ends.total(), over.ends["whole"], over.ends["refused"]
    return TrialResult.of(
        f"mixed load at twice capacity for {seconds / 60:.3g} minutes",
        f"every request ends in a whole answer or a clean 503; p95 first token within {RATIO:g} × of that at capacity",
        f"{whole:,} whole, {refused:,} refused, {asked - whole - refused} others of {asked:,}; "
        f"p95 first token {ratio:.2f} × ({over.first_token:.2f} s, at capacity {capacity.first_token:.2f} s)",
        whole + refused == asked and ratio <= RATIO,
        {
            "capacity": capacity.rate,
            "rate": OVERLOAD * capacity.rate,
            "goodput": over.rate,
            "ends": dict(over.ends),
            "first_token_at_capacity": capacity.first_token,
            "first_token": over.first_token,
            "ratio": ratio,
            "problems": [*capacity.problems, *over.problems],
        },
    )


async def fill_rows(
    rows: int, requests: Iterable[SampleRequest], ask_once: Callable[[SampleRequest], Awaitable[None]]
) -> None:
    """Asks in turn, each time once the rows that the request takes are free; returns when all have ended.

    So nobody waits for rows, and nobody is refused. A request for more than there are gets all of them.
    """
    free, freed = rows, asyncio.Event()

    async def ask_and_free(request: SampleRequest, taken: int) -> None:
        nonlocal free
        await ask_once(request)
        free += taken
        freed.set()

    async with asyncio.TaskGroup() as group:
        for request in requests:
            taken = min(request.rows, rows)
            while taken > free:
                freed.clear()
                await freed.wait()
            free -= taken
            group.create_task(ask_and_free(request, taken))


async def _closed_loop(
    session: aiohttp.ClientSession, model: str, wanted: Iterator[SampleRequest], rows: int, seconds: float
) -> Phase:
    start = perf_counter()
    replies: list[Reply] = []

    async def ask_once(request: SampleRequest) -> None:
        replies.append(await ask(session, model, Reply(request)))

    await fill_rows(rows, takewhile(lambda _: perf_counter() < start + seconds, wanted), ask_once)
    return _phase(replies, start + SETTLING * seconds, start + seconds)


async def _open_loop(
    session: aiohttp.ClientSession, model: str, wanted: Iterator[SampleRequest], rate: float, seconds: float, seed: int
) -> Phase:
    draw = random.Random(seed)
    start = due = perf_counter()
    asking: list[asyncio.Task[Reply]] = []
    while (due := due + draw.expovariate(rate)) < start + seconds:
        await asyncio.sleep(due - perf_counter())
        asking.append(asyncio.create_task(ask(session, model, Reply(next(wanted), due))))
    return _phase(await asyncio.gather(*asking), start + SETTLING * seconds, start + seconds)


def _phase(replies: Sequence[Reply], start: float, end: float) -> Phase:
    """Every end counts; rate and first token are those of the time from `start` to `end`."""
    first = [reply.first - reply.submitted for reply in replies if reply.first and start <= reply.first < end]
    whole = sum(reply.end == "whole" and start <= (reply.ended or 0) < end for reply in replies)
    return Phase(
        whole / (end - start),
        float(np.percentile(first, 95)) if first else float("nan"),
        Counter(str(reply.end) for reply in replies),
        sorted({reply.complaint for reply in replies if reply.end not in ("whole", "refused")}),
    )


async def _tick(advance: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1)
        advance()
