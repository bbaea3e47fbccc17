"""Many requests, one after another and at once, and the memory that the server holds meanwhile."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks.trust.asking import Answer, Order, ask, orders
from benchmarks.trust.filling import fill
from benchmarks.trust.row import Row
from benchmarks.trust.target import Target, connect, resident_bytes
from server.bundle import Bundle

TOKENS = 32
WARMING = 0.1
"""Share of the requests after which memory may not grow any longer."""

GROWTH = 0.03
LOOKS = 200
"""How often memory is looked at."""


def soak(target: Target, count: int, seed: int, advance: Callable[[], None]) -> Row:
    """`count` requests of all kinds, as many at once as there are rows for; `advance` is called for each of them."""
    manifest = Bundle.load(target.bundle).manifest
    wanted = orders(seed, TOKENS, manifest.prompt.genres)
    ends: Counter[str] = Counter()
    problems: set[str] = set()
    memory: list[tuple[int, int]] = []

    async def run(model: str) -> None:
        async def come(order: Order) -> None:
            answer = await ask(session, model, Answer(order))
            ends[str(answer.end)] += 1
            if answer.end != "whole":
                problems.add(f"{answer.order.kind}: {answer.problem}")
            done = ends.total()
            if done % max(1, count // LOOKS) == 0:
                memory.append((done, resident_bytes(server)))
            advance()

        async with connect(server) as session:
            await fill(target.rows, islice(wanted, count), come)

    with target.serve("soak") as server:
        asyncio.run(run(server.model))
    growth = grown(memory, round(WARMING * count))
    draw_memory(target.logs / "memory.png", memory, round(WARMING * count))
    served = ends["whole"]
    return Row(
        f"soak: {count:,} requests",
        f"resident memory grows < {GROWTH:.0%} after the first {WARMING * count:,.0f}",
        f"{served:,} served whole; memory {growth:+.1%}" + "".join(f"; {problem}" for problem in sorted(problems)[:3]),
        served == count and growth < GROWTH,
        {"requests": count, "ends": dict(ends), "growth": growth, "memory": memory, "problems": sorted(problems)},
    )


def grown(memory: list[tuple[int, int]], warm: int) -> float:
    """By which share the median of the last tenth of the looks is over that of as many after `warm` requests."""
    after = [resident for requests, resident in memory if requests >= warm]
    few = max(1, len(memory) // 10)
    return median(after[-few:]) / median(after[:few]) - 1


def draw_memory(file: Path, memory: list[tuple[int, int]], warm: int) -> None:
    """Resident memory over requests, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chart = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(chart)
    panel = chart.subplots()
    panel.plot([requests for requests, _ in memory], [resident / 1e6 for _, resident in memory])
    panel.axvline(warm, color="grey", linestyle=":", label="growth is counted from here")
    panel.set_xlabel("requests")
    panel.set_ylabel("resident memory, MB")
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)
    panel.legend()
    chart.savefig(file, dpi=110)
