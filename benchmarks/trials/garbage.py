"""The trial of `plotify bench garbage`: sends bad input on raw sockets. The server must survive it."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.client import Client, Reply, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials import raw
from benchmarks.trials.bad_inputs import Input, Known, bad_inputs
from benchmarks.trials.trial import Target, TrialResult
from benchmarks.workload import closed_loop

AT_ONCE = 32
TOGETHER = 400
"""Inputs to generate at a time, while the previous ones are sent."""

TRACEBACK = re.compile(r"^Traceback .*\n(?:[ \t].*\n|\n)*(\S.*)", re.MULTILINE)
"""A traceback in a log. The last line names the exception."""

KEPT = 86400
"""Seconds to keep the plot in the inputs' addresses."""

TOKENS = 8
"""Tokens of a plot. They are few, because the answers don't matter here."""


def send_garbage(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Send `count` bad inputs, each on its own connection; call `advance` for each.

    Inputs with a wrong answer are kept in the target's folder.
    """
    statuses: Counter[int] = Counter()
    problems: list[str] = []
    alone = next(sample_requests(seed, TOKENS, target.genres, ("stream",)))

    async def run(server: Serving) -> None:
        async def send(bad: Input) -> None:
            outcome = await raw.send(server, bad.content)
            statuses.update(outcome.statuses or (0,))
            if outcome.problem:
                problems.append(f"{bad.kind} {bad.number}: {outcome.problem}; {_keep(target.logs, bad, server)}")
            advance()

        async with connect(server) as client:
            known = await _known(client)

            def make(start: int) -> "asyncio.Task[list[Input]]":
                numbers = range(start, min(start + TOGETHER, count))
                return asyncio.create_task(asyncio.to_thread(lambda: list(bad_inputs(known, seed, numbers))))

            before = await client.ask_alone(alone)
            coming = make(0)
            for start in range(0, count, TOGETHER):
                made, coming = await coming, make(start + TOGETHER)
                await closed_loop(AT_ONCE, made, send)
            await coming
            problems.extend(await _afterwards(client, before))

    with target.serve("garbage", plot_ttl=KEPT, max_tokens=TOKENS) as server:
        asyncio.run(run(server))
    problems.extend(complaints(target.log("garbage")))
    closed = statuses.pop(0, 0)
    answered = ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items()))
    return TrialResult.of(
        f"{count:,} bad inputs",
        "no 5xx except a 503 with Retry-After, no hang, no crash",
        f"{answered}; {closed:,} closed without an answer; {len(problems)} problems",
        not problems,
        {"inputs": count, "statuses": dict(sorted(statuses.items())), "closed": closed, "problems": problems},
    )


def complaints(log: Path) -> list[str]:
    """Return the unexpected exceptions in a server's log."""
    found = TRACEBACK.findall(log.read_text(errors="replace"))
    return [f"in the log: {exception}" for exception in sorted(set(found))]


async def _known(client: Client) -> Known:
    """Make a plot, wait for its end, and keep one on a visitor's shelf."""
    async with client.session.get("/openapi") as response:
        document = await response.json(content_type=None)
    async with client.session.post("/api/plots", json={"prompt": "A fox", "length": "line", "seed": 1}) as response:
        started = await response.json()
    async with client.session.get(started["events"]) as events:
        await events.read()
    visitor = await client.visit()
    kept = await client.keep(visitor, "A fox")
    return Known(document, started["self"], visitor, kept["address"], client.model)


async def _afterwards(client: Client, before: Reply) -> list[str]:
    """Return the server's problems: it must be idle, and generate the same text as before."""
    try:
        if not await client.until_idle(raw.PATIENCE):
            return ["the engine is not idle"]
    except aiohttp.ClientError as error:
        return [f"the server is gone: {error}"]
    again = await client.ask_alone(before.request)
    return [] if (again.end, again.text) == ("whole", before.text) else ["the same seed gives another text"]


def _keep(folder: Path, bad: Input, server: Serving) -> str:
    """Write an input to a file, and return a command to send it again."""
    file = folder / f"garbage-{bad.number}.http"
    file.write_bytes(bad.content)
    host = urlsplit(server.address)
    return f"nc {host.hostname} {host.port} < {file}"
