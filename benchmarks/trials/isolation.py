"""Trials of `plotify bench chaos` and `soak`: one client's work must not make the others wait.

Each measures a client with little to do while others ask for as much as they can.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any

from benchmarks.client import Client, Refused, connect
from benchmarks.process import Serving
from benchmarks.streams import Failure, Stream
from benchmarks.trials.raw import exchange, raw_request
from benchmarks.trials.trial import Target, TrialResult
from server.app import MAX_BODY
from server.http.keys import Key
from server.shelf import bounds

QUIET = 2.0
"""Seconds of measurement before the others come."""

PAUSE = 0.02
"""Seconds between the requests of a client that is measured."""

MAX_WAIT = 0.25
"""The most seconds for an answer that needs no text of the model."""

Seconds = list[float]


def chunks(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Send `count` bodies in chunks of one byte on one connection after another; call `advance` for each.

    A body is a request for a text behind spaces, as large as the server reads. Meanwhile another client asks for
    /healthz, and a third one for texts.
    """
    problems: list[str] = []
    texts: Counter[str] = Counter()

    async def run(server: Serving) -> tuple[Seconds, Seconds]:
        body = json.dumps({"model": server.model, "prompt": "Once", "max_tokens": 1, "seed": seed}).encode()
        chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body.rjust(MAX_BODY - 1)) + b"0\r\n\r\n"
        head = raw_request(b"/v1/completions", headers=[b"Transfer-Encoding: chunked"], method=b"POST")
        head = head.replace(b"\r\n\r\n", b"\r\nContent-Type: application/json\r\n\r\n")

        async def write() -> None:
            while True:
                texts["asked"] += 1
                await client.complete({"prompt": "A fox", "max_tokens": 8, "stream": True}, Stream())
                texts["whole"] += 1

        async with connect(server) as client:
            async with measured(client.engine_load) as quiet:
                await asyncio.sleep(QUIET)
            async with measured(client.engine_load) as beside, running(write):
                for _ in range(count):
                    outcome = await exchange(server, head + chunked)
                    if outcome.problem or not outcome.statuses:
                        problems.append(outcome.problem or "no answer")
                    advance()
        return quiet, beside

    with target.serve("chunks") as server:
        quiet, beside = asyncio.run(run(server))
    return TrialResult.of(
        f"{count:,} bodies of {MAX_BODY // 1024} KiB in chunks of one byte",
        f"each is answered; nobody else waits longer than {MAX_WAIT:g} s for /healthz",
        f"/healthz after {max(beside):.3f} s at most ({max(quiet):.3f} s before); {texts['whole']:,} texts meanwhile",
        max(beside) <= MAX_WAIT,
        {"bodies": count, "texts": texts["whole"], "quiet": quiet, "beside": beside, "problems": problems},
    )


SEARCHES = 5
"""Searches at once: as many as the shelf's threads for reading."""

MAX_SAVE = 1.0
"""The most seconds for a save."""


def searches(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Search `count` of the longest texts while another writer saves; call `advance` for each text.

    All letters of the texts are the same, and the search ends with another one, so that it fails at every place only at
    its end.
    """
    problems: list[str] = []

    async def run(server: Serving) -> tuple[Seconds, Seconds, float]:
        async with connect(server) as client:
            writer, other = await client.visit(), await client.visit()
            for number in range(count):
                ending = f" {number}"
                await client.keep(writer, "a" * (bounds.TEXT - len(ending)) + ending)
                advance()
            kept = await client.keep(other, "A detective in Lisbon.")

            async def save() -> None:
                if "plot" not in await client.keep(other, "A detective in Lisbon, again.", kept["plot"]):
                    problems.append("a save was refused")

            async def search() -> None:
                wanted = {"q": "a" * (bounds.TITLE - 1) + "b"}
                async with client.session.get("/shelf", params=wanted, headers={"Cookie": writer.cookie}) as response:
                    await response.read()
                    if response.status != 200:
                        problems.append(f"a search was answered {response.status}")

            async with measured(save) as quiet:
                await asyncio.sleep(QUIET)
            begun = perf_counter()
            async with measured(save) as beside:
                await asyncio.gather(*(search() for _ in range(SEARCHES)))
            return quiet, beside, perf_counter() - begun

    with target.serve("searches") as server:
        quiet, beside, seconds = asyncio.run(run(server))
    return TrialResult.of(
        f"{SEARCHES} searches at once through {count:,} texts of {bounds.TEXT:,} characters",
        f"each is answered; another writer saves within {MAX_SAVE:g} s",
        f"all answered in {seconds:.1f} s; a save took {max(beside):.2f} s at most ({max(quiet):.2f} s before)",
        max(beside) <= MAX_SAVE,
        {"texts": count, "seconds": seconds, "quiet": quiet, "beside": beside, "problems": problems},
    )


LARGE_TOKENS, QUEUED_TOKENS, SMALL_TOKENS = 200, 64, 8
HOLDERS, HELD = 3, 4
"""Clients that hold the queue, and the requests that each of them always has."""

MAX_RATIO = 2.0
"""The most for a small request, in times of a large one alone: it may have to wait for one to end."""

BACK_OFF = 0.05
"""Seconds until a refused request is sent again, in place of the answer's Retry-After."""


def fairness(target: Target, seconds: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Measure a small client beside large ones for `seconds`; call `advance` for each.

    One client asks for all rows in one request, again and again. Three others always have four requests. The small one
    asks for one short text at a time. Each has its own key.
    """
    keys = [Key.make(name, frozenset({"completion"})) for name in ("small", "large", *map(str, range(HOLDERS)))]
    secrets = {key.name: secret for key, secret in keys}
    ends: Counter[str] = Counter()
    problems: set[str] = set()

    async def ask(client: Client, name: str, tokens: int, n: int = 1) -> None:
        body = {"prompt": f"The story of {name}", "max_tokens": tokens, "n": n, "ignore_eos": True, "stream": False}
        try:
            await client.complete(body | {"seed": seed}, Stream())
            ends[f"{name} whole"] += 1
        except Refused:
            ends[f"{name} refused"] += 1
            await asyncio.sleep(BACK_OFF)
        except (Failure, ValueError) as failed:
            problems.add(f"{name}: {failed}")

    async def run(server: Serving) -> tuple[Seconds, float, Seconds]:
        async with (
            connect(server, key=secrets["small"]) as small,
            connect(server, key=secrets["large"]) as large,
            asyncio.TaskGroup() as group,
        ):
            begun = perf_counter()
            await ask(large, "large", LARGE_TOKENS, target.rows)
            alone = perf_counter() - begun
            async with measured(lambda: ask(small, "small", SMALL_TOKENS)) as quiet:
                await asyncio.sleep(QUIET)

            async def hold(name: str) -> None:
                async with connect(server, key=secrets[name]) as client:
                    while True:
                        await ask(client, "holder", QUEUED_TOKENS)

            async def fill() -> None:
                while True:
                    await ask(large, "large", LARGE_TOKENS, target.rows)

            others = [group.create_task(fill())]
            others += [group.create_task(hold(str(number))) for number in range(HOLDERS) for _ in range(HELD)]
            async with measured(lambda: ask(small, "small", SMALL_TOKENS)) as beside:
                for _ in range(seconds):
                    await asyncio.sleep(1)
                    advance()
            for other in others:
                other.cancel()
        return quiet, alone, beside

    with target.serve("fairness", keys=" ".join(key.entry for key, _ in keys)) as server:
        quiet, alone, beside = asyncio.run(run(server))
    ratio = max(beside) / alone
    return TrialResult.of(
        f"a small client beside one with n={target.rows} and {HOLDERS} that hold the queue, for {seconds} s",
        f"it is never refused, and never waits longer than {MAX_RATIO:g} × a request with n={target.rows} alone",
        f"{len(beside):,} served, {ends['small refused']} refused; {max(beside):.2f} s at most, {ratio:.2f} × "
        f"({max(quiet):.2f} s alone)",
        not ends["small refused"] and ratio <= MAX_RATIO,
        {
            "seconds": seconds,
            "large_alone": alone,
            "ratio": ratio,
            "ends": dict(ends),
            "quiet": quiet,
            "beside": beside,
            "problems": sorted(problems),
        },
    )


@asynccontextmanager
async def measured(ask: Callable[[], Awaitable[Any]]) -> AsyncIterator[Seconds]:
    """Await `ask` again and again while the block runs. Yield a list of the seconds of each.

    It waits for the last one, so there is at least one.
    """
    seconds: Seconds = []
    ended = asyncio.Event()

    async def measure() -> None:
        while not ended.is_set():
            begun = perf_counter()
            await ask()
            seconds.append(perf_counter() - begun)
            await asyncio.sleep(PAUSE)

    task = asyncio.create_task(measure())
    try:
        yield seconds
    finally:
        ended.set()
        await task


@asynccontextmanager
async def running(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `work` while the block runs, and cancel it at the end. An error in it is raised there."""
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
