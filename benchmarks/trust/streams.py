"""As many streams at once as there are connections, each with the text that its seed gives alone."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from benchmarks.trust.asking import Answer, ask, ask_alone, orders
from benchmarks.trust.row import Row
from benchmarks.trust.target import Target, connect, take_all_rows, work
from server.bundle import Bundle

TOKENS = 32
"""Of a stream of /v1; a plot has up to 48."""


def hold_streams(target: Target, count: int, seed: int, advance: Callable[[], None]) -> Row:
    """`count` connections at once, half of them streams of /v1, half of them plots; `advance` is called for each.

    First each is asked for alone, which gives the text that it has to have. Then the rows are given to somebody else
    until all streams are open, so that none has ended before the last one begins.
    """
    manifest = Bundle.load(target.bundle).manifest
    wanted = list(islice(orders(seed, TOKENS, manifest.prompt.genres, ("stream", "plot")), count))

    async def run(model: str) -> tuple[list[Answer], list[Answer]]:
        async with connect(server) as session:
            alone = []
            for order in wanted:
                alone.append(await ask_alone(session, model, order))
                advance()
            taken = asyncio.create_task(take_all_rows(session, model, target.rows, manifest.model.context))
            while not taken.done() and not any(await work(session)):
                await asyncio.sleep(0.01)
            together = [Answer(order) for order in wanted]
            asking = [asyncio.create_task(ask(session, model, answer)) for answer in together]
            while not all(answer.opened or answer.end for answer in together):
                await asyncio.sleep(0.05)
            taken.cancel()
            await asyncio.gather(*asking)
        return alone, together

    with target.serve("streams", queue=min(4096, 2 * count + 1)) as server:
        alone, together = asyncio.run(run(server.model))
    identical = sum(
        first.end == second.end == "whole" and first.text == second.text
        for first, second in zip(alone, together, strict=True)
    )
    held_at_once = most_at_once(together)
    problems = sorted({answer.problem for answer in (*alone, *together) if answer.problem})
    return Row(
        f"{count:,} event streams at once",
        f"{count:,} held, each complete and byte-identical to its seed's text",
        f"{held_at_once:,} held at once, {identical:,} complete and identical"
        + "".join(f"; {p}" for p in problems[:3]),
        held_at_once == identical == count,
        {"streams": count, "held": held_at_once, "identical": identical, "problems": problems},
    )


def most_at_once(answers: Sequence[Answer]) -> int:
    """How many were open at the same moment."""
    held = [(answer.opened, answer.ended) for answer in answers if answer.opened is not None]
    changes = [(opened, 1) for opened, _ in held] + [(ended, -1) for _, ended in held if ended is not None]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
