"""A model that fails in the middle of streams."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from itertools import islice

from benchmarks.trust.asking import KINDS, MAX_ROWS, Answer, ask, ask_alone, orders
from benchmarks.trust.row import Row
from benchmarks.trust.target import FAULTY, Target, connect, until_written
from server.bundle import Bundle

STREAMS = 16
TOKENS = 400
AFTERWARDS = 4


def crash(target: Target, count: int, seed: int, advance: Callable[[], None]) -> Row:
    """`count` times an exception in the session while 16 streams are written; `advance` is called for each."""
    manifest = Bundle.load(target.bundle).manifest
    wanted = orders(seed, TOKENS, manifest.prompt.genres, KINDS, "paragraph")
    ends: Counter[str] = Counter()
    problems: list[str] = []
    served = 0

    async def run(model: str) -> None:
        nonlocal served
        async with connect(server) as session:
            check = list(islice(orders(seed + 1, 8, manifest.prompt.genres), AFTERWARDS))
            expected = [(await ask_alone(session, model, order)).text for order in check]
            for _ in range(count):
                answers = [Answer(order) for order in islice(wanted, STREAMS)]
                asking = [asyncio.create_task(ask(session, model, answer)) for answer in answers]
                await until_written(session, answers)
                os.kill(server.pid, signal.SIGUSR1)
                await asyncio.gather(*asking)
                ends.update(str(answer.end) for answer in answers)
                problems.extend(
                    f"{answer.order.kind}: {answer.problem}" for answer in answers if answer.end in ("cut", "wrong")
                )
                for order, text in zip(check, expected, strict=True):
                    again = await ask_alone(session, model, order)
                    served += again.end == "whole" and again.text == text
                advance()

    with target.serve("crashes", program=FAULTY, queue=MAX_ROWS * STREAMS) as server:
        asyncio.run(run(server.model))
    asked = count * AFTERWARDS
    return Row(
        f"an exception in the session among {STREAMS} streams, {count} times",
        "each stream gets an error in its own form; the requests after it are served",
        f"{ends['told']} told, {ends['whole']} whole already, {ends['refused']} refused, {len(problems)} others; "
        f"{served} of {asked} afterwards as before" + "".join(f"; {problem}" for problem in problems[:3]),
        not problems and ends["told"] > 0 and served == asked,
        {"crashes": count, "ends": dict(ends), "served_afterwards": served, "problems": problems},
    )
