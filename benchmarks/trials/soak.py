"""The trials of `plotify bench soak`: many streams at once, twice the capacity, and many requests.

Each of the streams must have the same text as alone with its seed. The last trial watches the server's memory.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, takewhile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.charts import chart
from benchmarks.client import Client, Reply, SampleRequest, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials.trial import Target, TrialResult, resident_bytes

STREAM_TOKENS = 32
"""New tokens of a stream of /v1; a plot has up to 48."""


def hold_streams(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Hold `count` streams at once, half of /v1 and half plots; call `advance` for each.

    First each request runs alone, for its expected text. Then another request takes all rows until all streams are
    open, so none can end before the last one begins.
    """
    wanted = list(islice(sample_requests(seed, STREAM_TOKENS, target.genres, ("stream", "plot")), count))

    async def run(server: Serving) -> tuple[list[Reply], list[Reply]]:
        async with connect(server) as client:
            alone = []
            for request in wanted:
                alone.append(await client.ask_alone(request))
                advance()
            taken = asyncio.create_task(client.take_all_rows(target.rows, target.context))
            while not taken.done() and not any(await client.engine_load()):
                await asyncio.sleep(0.01)
            together = [Reply(request) for request in wanted]
            asking = [asyncio.create_task(client.ask(reply)) for reply in together]
            while not all(reply.opened or reply.end for reply in together):
                await asyncio.sleep(0.05)
            taken.cancel()
            await asyncio.gather(*asking)
        return alone, together

    with target.serve("streams", queue=min(4096, 2 * count + 1)) as server:
        alone, together = asyncio.run(run(server))
    pairs = zip(alone, together, strict=True)
    identical = sum(one.end == other.end == "whole" and one.text == other.text for one, other in pairs)
    held = max_at_once(together)
    problems = sorted({reply.problem for reply in (*alone, *together) if reply.problem})
    return TrialResult.of(
        f"{count:,} event streams at once",
        f"{count:,} held, each complete and byte-identical to its seed's text",
        f"{held:,} held at once, {identical:,} complete and identical",
        held == identical == count,
        {"streams": count, "held": held, "identical": identical, "problems": problems},
    )


def max_at_once(replies: Sequence[Reply]) -> int:
    """Return the most replies open at the same time."""
    held = [(reply.opened, reply.ended) for reply in replies if reply.opened is not None]
    changes = [(opened, 1) for opened, _ in held] + [(ended, -1) for _, ended in held if ended is not None]
    return max(accumulate(change for _, change in sorted(changes)), default=0)


OVERLOAD_TOKENS = 64
OVERLOAD = 2.0
RATIO = 2.0
"""The most for p95 TTFT under overload, as a multiple of that at capacity."""

WARM_SECONDS = 2.0
SETTLING = 0.2
"""The share of a phase left out at its start."""


@dataclass(frozen=True)
class Phase:
    """The figures of a phase of load.

    Attributes:
        rate: answers per second.
        first_token: p95 of the seconds from a request's due time to its first token.
    """

    rate: float
    first_token: float
    ends: Counter[str]
    problems: list[str]


def overload(target: Target, seconds: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Measure the capacity for a fifth of `seconds`, then send twice that for `seconds`.

    Capacity is the server's rate with full rows and an empty queue. In overload, requests arrive as a Poisson process,
    however many are running. Both phases have the same mixture of all kinds. Call `advance` every second of overload.
    """
    wanted = sample_requests(seed, OVERLOAD_TOKENS, target.genres)

    async def run(server: Serving) -> tuple[Phase, Phase]:
        async with connect(server) as client:
            await _closed_loop(client, wanted, target, WARM_SECONDS)
            at_capacity = await _closed_loop(client, wanted, target, max(seconds / 5, 3))
            ticking = asyncio.create_task(_tick(advance))
            over = await _open_loop(client, wanted, OVERLOAD * at_capacity.rate, seconds, seed)
            ticking.cancel()
        return at_capacity, over

    with target.serve("overload") as server:
        capacity, over = asyncio.run(run(server))
    ratio = over.first_token / capacity.first_token
    asked, whole, refused = over.ends.total(), over.ends["whole"], over.ends["refused"]
    return TrialResult.of(
        f"mixed load at twice capacity for {f'{seconds} s' if seconds < 60 else f'{seconds / 60:.3g} minutes'}",
        f"every request ends with a whole answer or a clean 503; p95 first token within {RATIO:g} × that at capacity",
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


AskOnce = Callable[[SampleRequest], Awaitable[None]]


async def fill_rows(target: Target, requests: Iterable[SampleRequest], ask: AskOnce) -> None:
    """Send requests in turn, each as soon as its rows are free. Return when all have ended.

    So no request is queued or refused. A request that needs more than all rows counts as all of them.
    """
    free, freed = target.rows, asyncio.Event()

    async def ask_and_free(request: SampleRequest, taken: int) -> None:
        nonlocal free
        await ask(request)
        free += taken
        freed.set()

    async with asyncio.TaskGroup() as group:
        for request in requests:
            taken = min(request.rows(target.guidance), target.rows)
            while taken > free:
                freed.clear()
                await freed.wait()
            free -= taken
            group.create_task(ask_and_free(request, taken))


async def _closed_loop(client: Client, wanted: Iterator[SampleRequest], target: Target, seconds: float) -> Phase:
    start = perf_counter()
    replies: list[Reply] = []

    async def ask_once(request: SampleRequest) -> None:
        replies.append(await client.ask(Reply(request)))

    in_time = takewhile(lambda _: perf_counter() < start + seconds, wanted)
    await fill_rows(target, in_time, ask_once)
    return _phase(replies, start + SETTLING * seconds, start + seconds)


async def _open_loop(client: Client, wanted: Iterator[SampleRequest], rate: float, seconds: float, seed: int) -> Phase:
    draw = random.Random(seed)
    start = due = perf_counter()
    asking: list[asyncio.Task[Reply]] = []
    while (due := due + draw.expovariate(rate)) < start + seconds:
        await asyncio.sleep(due - perf_counter())
        asking.append(asyncio.create_task(client.ask(Reply(next(wanted), due))))
    return _phase(await asyncio.gather(*asking), start + SETTLING * seconds, start + seconds)


def _phase(replies: Sequence[Reply], start: float, end: float) -> Phase:
    """Return the figures of a phase: rate and first token from `start` to `end`, and all ends."""
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


SOAK_TOKENS = 32
WARMING = 0.1
"""The share of the requests after which memory must not grow any more."""

GROWTH = 0.03
LOOKS = 200
"""The number of memory samples."""


def soak(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Send `count` requests of all kinds, as many at once as the rows allow; call `advance` for each."""
    wanted = islice(sample_requests(seed, SOAK_TOKENS, target.genres), count)
    ends: Counter[str] = Counter()
    problems: set[str] = set()
    memory: list[tuple[int, int]] = []

    async def run(server: Serving) -> None:
        async def ask_once(request: SampleRequest) -> None:
            reply = await client.ask(Reply(request))
            ends[str(reply.end)] += 1
            if reply.end != "whole":
                problems.add(reply.complaint)
            if ends.total() % max(1, count // LOOKS) == 0:
                memory.append((ends.total(), resident_bytes(server)))
            advance()

        async with connect(server) as client:
            await fill_rows(target, wanted, ask_once)

    with target.serve("soak") as server:
        asyncio.run(run(server))
    growth = grown(memory, round(WARMING * count))
    draw_memory(target.logs / "memory.png", memory, round(WARMING * count))
    return TrialResult.of(
        f"soak: {count:,} requests",
        f"resident memory grows < {GROWTH:.0%} after the first {WARMING * count:,.0f}",
        f"{ends['whole']:,} served whole; memory {growth:+.1%}",
        ends["whole"] == count and growth < GROWTH,
        {"requests": count, "ends": dict(ends), "growth": growth, "memory": memory, "problems": sorted(problems)},
    )


def grown(memory: list[tuple[int, int]], warm: int) -> float:
    """Return the growth of memory after `warm` requests, as a share.

    It compares the median of the last tenth of all samples with the median of as many samples after `warm`.
    """
    after = [resident for requests, resident in memory if requests >= warm]
    few = max(1, len(memory) // 10)
    return median(after[-few:]) / median(after[:few]) - 1


def draw_memory(file: Path, memory: list[tuple[int, int]], warm: int) -> None:
    """Draw the resident memory over the requests."""
    with chart(file, 8) as figure:
        panel = figure.subplots()
        panel.plot([requests for requests, _ in memory], [resident / 1e6 for _, resident in memory])
        panel.axvline(warm, color="grey", linestyle=":", label="growth is counted from here")
        panel.set(xlabel="requests", ylabel="resident memory, MB")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend()
