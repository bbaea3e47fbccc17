"""As many streams at once as there are connections, each with the text that its seed gives alone."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice

from benchmarks.client import Reply, ask, ask_alone, connect, engine_load, sample_requests, take_all_rows
from benchmarks.process import Serving
from benchmarks.trials.result import TrialResult
from benchmarks.trials.target import Target

TOKENS = 32
"""Of a stream of /v1; a plot has up to 48."""


def hold_streams(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """`count` connections at once, half of them streams of /v1, half of them plots; `advance` is called for each.

    First each is asked for alone, which gives the text that it has to have. Then somebody else gets the rows until all
    streams are open, so that none has ended before the last one begins.
    """
    wanted = list(islice(sample_requests(seed, TOKENS, target.genres, ("stream", "plot")), count))

    async def run(server: Serving) -> tuple[list[Reply], list[Reply]]:
        async with connect(server) as session:
            alone = []
            for request in wanted:
                alone.append(await ask_alone(session, server.model, request))
                advance()
            context = target.bundle.manifest.model.context
            taken = asyncio.create_task(take_all_rows(session, server.model, target.rows, context))
            while not taken.done() and not any(await engine_load(session)):
                await asyncio.sleep(0.01)
            together = [Reply(request) for request in wanted]
            asking = [asyncio.create_task(ask(session, server.model, reply)) for reply in together]
            while not all(reply.opened or reply.end for reply in together):
                await asyncio.sleep(0.05)
            taken.cancel()
            await asyncio.gather(*asking)
        return alone, together

    with target.serve("streams", queue=min(4096, 2 * count + 1)) as server:
        alone, together = asyncio.run(run(server))
    identical = sum(
        first.end == second.end == "whole" and first.text == second.text
        for first, second in zip(alone, together, strict=True)
    )
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
    """The most replies that were open at the same moment."""
    held = [(reply.opened, reply.ended) for reply in replies if reply.opened is not None]
    changes = [(opened, 1) for opened, _ in held] + [(ended, -1) for _, ended in held if ended is not None]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
