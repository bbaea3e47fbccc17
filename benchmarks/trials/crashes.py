"""A model that fails in the middle of streams."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from itertools import islice

from benchmarks.client import KINDS, MAX_ROWS, Reply, ask, ask_alone, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials.result import TrialResult
from benchmarks.trials.target import Target, until_running

FAULTY = ("-m", "benchmarks.trials.faulty", "serve")
"""`plotify serve`, whose model fails when it is told to."""

STREAMS = 16
TOKENS = 400
AFTERWARDS = 4


def crash(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """`count` times an exception in the session among 16 streams; `advance` is called for each."""
    wanted = sample_requests(seed, TOKENS, target.genres, KINDS, "paragraph")
    check = list(islice(sample_requests(seed + 1, 8, target.genres), AFTERWARDS))
    ends: Counter[str] = Counter()
    problems: list[str] = []

    async def run(server: Serving) -> int:
        served = 0
        async with connect(server) as session:
            expected = [(await ask_alone(session, server.model, request)).text for request in check]
            for _ in range(count):
                replies = [Reply(request) for request in islice(wanted, STREAMS)]
                asking = [asyncio.create_task(ask(session, server.model, reply)) for reply in replies]
                await until_running(session, replies)
                os.kill(server.pid, signal.SIGUSR1)
                await asyncio.gather(*asking)
                ends.update(str(reply.end) for reply in replies)
                problems.extend(reply.complaint for reply in replies if reply.end in ("cut", "wrong"))
                for request, text in zip(check, expected, strict=True):
                    again = await ask_alone(session, server.model, request)
                    served += again.end == "whole" and again.text == text
                advance()
        return served

    with target.serve("crashes", program=FAULTY, queue=MAX_ROWS * STREAMS) as server:
        served = asyncio.run(run(server))
    return TrialResult.of(
        f"an exception in the session among {STREAMS} streams, {count} times",
        "each stream gets an error in its own form; the requests after it are served",
        f"{ends['told']} told, {ends['whole']} whole already, {ends['refused']} refused, {len(problems)} others; "
        f"{served} of {count * AFTERWARDS} afterwards as before",
        ends["told"] > 0 and served == count * AFTERWARDS,
        {"crashes": count, "ends": dict(ends), "served_afterwards": served, "problems": problems},
    )
