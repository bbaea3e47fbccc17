"""Many requests, one after another and at once, and the memory that the server holds meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.charts import chart
from benchmarks.client import Reply, SampleRequest, ask, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials.overload import fill_rows
from benchmarks.trials.result import TrialResult
from benchmarks.trials.target import Target, resident_bytes

TOKENS = 32
WARMING = 0.1
"""Share of the requests after which memory may not grow any longer."""

GROWTH = 0.03
LOOKS = 200
"""Samples of the memory."""


def soak(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """`count` requests of all kinds, as many at once as there are rows for; `advance` is called for each of them."""
    wanted = islice(sample_requests(seed, TOKENS, target.genres), count)
    ends: Counter[str] = Counter()
    problems: set[str] = set()
    memory: list[tuple[int, int]] = []

    async def run(server: Serving) -> None:
        async def ask_once(request: SampleRequest) -> None:
            reply = await ask(session, server.model, Reply(request))
            ends[str(reply.end)] += 1
            if reply.end != "whole":
                problems.add(reply.complaint)
            if ends.total() % max(1, count // LOOKS) == 0:
                memory.append((ends.total(), resident_bytes(server)))
            advance()

        async with connect(server) as session:
            await fill_rows(target.rows, wanted, ask_once)

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
    """The share by which the median of the last tenth of the looks is over that of as many after `warm` requests."""
    after = [resident for requests, resident in memory if requests >= warm]
    few = max(1, len(memory) // 10)
    return median(after[-few:]) / median(after[:few]) - 1


def draw_memory(file: Path, memory: list[tuple[int, int]], warm: int) -> None:
    """Resident memory over requests, as PNG."""
    with chart(file, 8) as figure:
        panel = figure.subplots()
        panel.plot([requests for requests, _ in memory], [resident / 1e6 for _, resident in memory])
        panel.axvline(warm, color="grey", linestyle=":", label="growth is counted from here")
        panel.set(xlabel="requests", ylabel="resident memory, MB")
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend()
