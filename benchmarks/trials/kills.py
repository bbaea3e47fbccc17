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

from benchmarks.client import Reply, Visitor, ask, ask_alone, connect, keep, sample_requests, visit
from benchmarks.process import Serving
from benchmarks.trials.result import TrialResult
from benchmarks.trials.target import Target

CLIENTS = 32
TOKENS = 400


def kill(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """`count` times kill -9 in mid-stream and a start on the same port; `advance` is called for each.

    Half of the clients read streams of /v1. Theirs break off, and asked for again with the same seed they begin with
    the same text. Half follow plots, which are written in memory only: they break off too, and the next server says
    that it knows nothing of them. Beside them a writer has plots kept on a shelf, which must all be there.
    """
    wanted = sample_requests(seed, TOKENS, target.genres, ("stream", "plot"), "paragraph")
    draw = random.Random(seed)
    shelf = Shelf()
    found: Counter[str] = Counter()
    starts: list[float] = []
    problems: list[str] = []

    async def break_off(server: Serving, cut: list[Reply], last: bool) -> list[Reply]:
        async with connect(server) as session:
            for reply in cut:
                found[await _come_back(session, server.model, reply)] += 1
            if missing := await shelf.missing(session):
                problems.append(f"{missing} plots that were kept are gone")
            replies = [Reply(request) for request in islice(wanted, CLIENTS)]
            asking = [asyncio.create_task(ask(session, server.model, reply)) for reply in replies]
            writing = asyncio.create_task(shelf.fill(session))
            while not all(reply.opened or reply.end for reply in replies):
                await asyncio.sleep(0.005)
            await asyncio.sleep(draw.uniform(0, 0.2))
            if not last:
                os.kill(server.pid, signal.SIGKILL)
            await asyncio.gather(*asking)
            writing.cancel()
        return replies

    database = target.logs / "kills.sqlite"
    for file in target.logs.glob(f"{database.name}*"):
        file.unlink()
    port, replies = 0, list[Reply]()
    for number in range(count + 1):
        begun, last, name = perf_counter(), number == count, f"kill-{number}"
        with target.serve(name, port, database=database, queue=2 * CLIENTS) as server:
            starts.append(perf_counter() - begun)
            port = urlsplit(server.address).port or 0
            replies = asyncio.run(break_off(server, replies, last))
        expected = {"whole"} if last else {"cut", "whole"}
        problems += [reply.complaint for reply in replies if reply.end not in expected]
        found.update(f"{reply.request.kind} broke off" for reply in replies if reply.end == "cut")
        if said := target.log(name).read_text().strip():
            problems.append(said[:200])
        if not last:
            advance()
    problems += [f"{times} {what}" for what, times in found.items() if what.startswith("not ")]
    return TrialResult.of(
        f"kill -9 in mid-stream, {count} times",
        "restarts clean; clients resume or get a clear error; nothing acknowledged is lost",
        f"ready again after {max(starts):.1f} s at most; {found['stream broke off']:,} streams of /v1 and "
        f"{found['plot broke off']:,} of plots broke off, which each client saw; {found['again']:,} of /v1 asked for "
        f"again are the same; {found['unknown']:,} plots of /api were gone, as each 404 says; {shelf.kept:,} plots "
        f"were kept on shelves, {shelf.lost} of them lost",
        found["stream broke off"] > 0,
        {
            "kills": count,
            "kept": shelf.kept,
            "lost": shelf.lost,
            "start_seconds": starts,
            "found": dict(found),
            "problems": problems,
        },
    )


class Shelf:
    """Texts that the server said it keeps. kept, lost: how many; those of the last writer are looked for."""

    def __init__(self) -> None:
        self.kept = self.lost = 0
        self._last: list[tuple[Visitor, str, str]] = []

    async def fill(self, session: aiohttp.ClientSession) -> None:
        """Has one plot after another kept on a new shelf, until the connection is lost."""
        try:
            visitor = await visit(session)
            while True:
                text = f"Plot {self.kept} and what it is about."
                self._last.append((visitor, (await keep(session, visitor, text))["plot"], text))
                self.kept += 1
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return

    async def missing(self, session: aiohttp.ClientSession) -> int:
        """Counts the texts that were kept before the server was killed and are not there."""
        last, self._last = self._last, []
        missing = 0
        for visitor, plot, text in last:
            async with session.get(f"/shelf/{plot}/plot.txt", headers={"Cookie": visitor.cookie}) as response:
                missing += text not in await response.text()
        self.lost += missing
        return missing


async def _come_back(session: aiohttp.ClientSession, model: str, cut: Reply) -> str:
    """Names what a client finds that had a reply of the server before."""
    if cut.place is not None:
        async with session.get(cut.place) as response:
            if response.status == 200:
                return "kept"
            said = (await response.json())["message"]
            return "unknown" if response.status == 404 and "started anew" in said else f"not clear: {said}"
    if cut.request.kind == "plot":  # it was not acknowledged
        return "unacknowledged"
    again = await ask_alone(session, model, cut.request)
    return "again" if again.end == "whole" and again.text.startswith(cut.text) else "not the same text again"
