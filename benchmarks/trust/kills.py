"""A server that is killed while it writes, and started again."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from itertools import islice
from time import perf_counter
from urllib.parse import urlsplit

import aiohttp

from benchmarks.trust.asking import Answer, ask, ask_alone, orders
from benchmarks.trust.keeping import Keeping
from benchmarks.trust.row import Row
from benchmarks.trust.target import Target, connect
from server.bundle import Bundle

CLIENTS = 32
TOKENS = 400


def kill(target: Target, count: int, seed: int, advance: Callable[[], None]) -> Row:
    """`count` times kill -9 in mid-stream and a start on the same port; `advance` is called for each.

    Half of the clients read streams of /v1. Theirs break off, and asked for again with the same seed they begin with
    what had come. Half follow plots, which are written in memory only: they break off too, and the server that comes
    after says that it knows nothing of them. Beside them a writer has plots kept on a shelf, which must all be there.
    """
    manifest = Bundle.load(target.bundle).manifest
    wanted = orders(seed, TOKENS, manifest.prompt.genres, ("stream", "plot"), "paragraph")
    draw = random.Random(seed)
    port = 0
    keeping = Keeping()
    found: Counter[str] = Counter()
    starts: list[float] = []
    problems: list[str] = []
    left: list[Answer] = []

    lost = 0

    async def break_off(model: str, pid: int) -> list[Answer]:
        nonlocal lost
        async with connect(server) as session:
            for answer in left:
                found[await _come_back(session, model, answer)] += 1
            if missing := await keeping.missing(session):
                problems.append(f"{missing} plots that were kept are gone")
                lost += missing
            answers = [Answer(order) for order in islice(wanted, CLIENTS)]
            asking = [asyncio.create_task(ask(session, model, answer)) for answer in answers]
            writing = asyncio.create_task(keeping.write(session))
            while not all(answer.opened or answer.end for answer in answers):
                await asyncio.sleep(0.005)
            await asyncio.sleep(draw.uniform(0, 0.2))
            if pid:
                os.kill(pid, signal.SIGKILL)
            await asyncio.gather(*asking)
            writing.cancel()
        return answers

    shelf = target.logs / "kills.sqlite"
    for file in target.logs.glob(f"{shelf.name}*"):
        file.unlink()
    for number in range(count + 1):
        begun = perf_counter()
        with target.serve(f"kill-{number}", port, database=shelf, queue=2 * CLIENTS) as server:
            starts.append(perf_counter() - begun)
            port = urlsplit(server.address).port or 0
            last = number == count
            left = asyncio.run(break_off(server.model, 0 if last else server.pid))
            expected = {"whole"} if last else {"cut", "whole"}
            problems += [f"{answer.order.kind}: {answer.problem}" for answer in left if answer.end not in expected]
            found.update(f"{answer.order.kind} broke off" for answer in left if answer.end == "cut")
        if said := target.log(f"kill-{number}").read_text().strip():
            problems.append(said[:200])
        if not last:
            advance()
    problems += [f"{times} {what}" for what, times in found.items() if what.startswith("not ")]
    return Row(
        f"kill -9 in mid-stream, {count} times",
        "restarts clean; clients resume or get a clear error; nothing acknowledged is lost",
        f"ready again after {max(starts):.1f} s at most; {found['stream broke off']:,} streams of /v1 and "
        f"{found['plot broke off']:,} of plots broke off, which each client saw; {found['again']:,} of /v1 asked for "
        f"again are the same; {found['unknown']:,} plots of /api were gone, as each 404 says; {keeping.kept:,} plots "
        f"were kept on shelves, {lost} of them lost" + "".join(f"; {problem}" for problem in problems[:3]),
        not problems and found["stream broke off"] > 0,
        {
            "kills": count,
            "kept": keeping.kept,
            "lost": lost,
            "start_seconds": starts,
            "found": dict(found),
            "problems": problems,
        },
    )


async def _come_back(session: aiohttp.ClientSession, model: str, cut: Answer) -> str:
    """What a client finds that had an answer of the server before."""
    if cut.place is not None:
        async with session.get(cut.place) as response:
            if response.status == 200:
                return "kept"
            said = (await response.json())["message"]
            return "unknown" if response.status == 404 and "started anew" in said else f"not clear: {said}"
    if cut.order.kind == "plot":  # it was not acknowledged
        return "unacknowledged"
    again = await ask_alone(session, model, cut.order)
    return "again" if again.end == "whole" and again.text.startswith(cut.text) else "not the same text again"
