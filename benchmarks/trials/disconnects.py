"""Clients who leave at any moment, and the rest of them that stays in the server."""

import asyncio
import json
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import urlencode, urlsplit

import aiohttp

from benchmarks.client import MAX_ROWS, SampleRequest, connect, engine_load, sample_requests, take_all_rows, visit
from benchmarks.process import Serving
from benchmarks.trials.raw import FORM, raw_request
from benchmarks.trials.result import TrialResult
from benchmarks.trials.target import Target, resident_bytes, until_idle

WAVE = 100
"""Clients who leave before the server is looked at."""

AT_ONCE = 32
IDLE = 1.0
"""Seconds after which the engine has nothing to do any longer."""

GRACE = 1
"""Seconds that a plot is written on while nobody follows it, and can be read afterwards: the least that can be set."""

FLAT = 0.03
LONG = 400
"""Tokens: far more than anybody stays for."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets the connection."""

PATHS = {"stream": b"/v1/completions", "whole": b"/v1/completions", "page": b"/desk", "plot": b"/api/plots"}
MOMENTS = ("in the request", "before the answer", "in the answer")


@dataclass(frozen=True)
class Wave:
    """The state after a wave. plots: of plots, or of the other kinds. running: the most sequences at once meanwhile.

    idle: seconds from when the last client left until the engine had nothing to do. resident: bytes.
    """

    plots: bool
    running: int
    idle: float
    resident: int


def disconnect(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """`count` requests of which each is dropped at a random moment; `advance` is called for each.

    They come in waves, after each of which the engine has to become idle. Every fourth wave is of plots, which have
    their grace before; the others end with their client. Before and after, one request takes all rows.
    """

    async def run(server: Serving) -> tuple[int, list[Wave], bool]:
        draw = random.Random(seed)
        ending = sample_requests(seed, LONG, target.genres, ("stream", "whole", "page"), "paragraph")
        going_on = sample_requests(seed + 1, LONG, target.genres, ("plot",), "paragraph")

        async def wave(session: aiohttp.ClientSession, plots: bool, size: int, advance: Callable[[], None]) -> Wave:
            requests = [next(going_on if plots else ending) for _ in range(size)]
            running = await _come_and_go(server, session, requests, draw, advance)
            left_at = perf_counter()
            await until_idle(session, 60)
            return Wave(plots, running, perf_counter() - left_at, resident_bytes(server))

        async with connect(server) as session:
            for plots in (False, True):  # warms
                await wave(session, plots, WAVE, lambda: None)
            # Of each row all memory:
            await take_all_rows(session, server.model, target.rows, target.bundle.manifest.model.context)
            before = resident_bytes(server)
            sizes = [min(WAVE, count - done) for done in range(0, count, WAVE)]
            waves = [await wave(session, number % 4 == 0, size, advance) for number, size in enumerate(sizes, 1)]
            try:
                async with asyncio.timeout(120):
                    usable = await take_all_rows(session, server.model, target.rows, LONG // 4)
            except TimeoutError:
                usable = False
        return before, waves, usable

    with target.serve("disconnects", plot_grace=GRACE, plot_ttl=GRACE, queue=MAX_ROWS * AT_ONCE) as server:
        before, waves, usable = asyncio.run(run(server))
    idle, idle_plots = (
        max((each.idle for each in waves if each.plots is plots), default=0.0) for plots in (False, True)
    )
    change = waves[-1].resident / before - 1
    return TrialResult.of(
        f"{count:,} requests dropped at random moments",
        f"no row leaked, engine idle within {IDLE:g} s after, memory flat (±{FLAT:.0%})",
        f"{'all rows usable' if usable else 'rows leaked'}; idle after {idle:.2f} s at most "
        f"(plots, whose grace is {GRACE} s: {idle_plots:.2f} s); memory {change:+.1%}",
        usable and idle <= IDLE and idle_plots <= GRACE + IDLE and abs(change) <= FLAT,
        {
            "requests": count,
            "running": max(each.running for each in waves),
            "rows_usable": usable,
            "idle_seconds": idle,
            "idle_seconds_of_plots": idle_plots,
            "resident_bytes": [before, *(each.resident for each in waves)],
            "memory": change,
        },
    )


async def _come_and_go(
    server: Serving,
    session: aiohttp.ClientSession,
    requests: list[SampleRequest],
    draw: random.Random,
    advance: Callable[[], None],
) -> int:
    """Drops all of them; the most sequences that ran at the same time."""
    room = asyncio.Semaphore(AT_ONCE)
    most = 0

    async def come_and_go(request: SampleRequest) -> None:
        nonlocal most
        async with room:
            most = max(most, (await engine_load(session))[0])
            await _drop(server, session, request, draw)
            advance()

    await asyncio.gather(*map(come_and_go, requests))
    return most


async def _drop(server: Serving, session: aiohttp.ClientSession, request: SampleRequest, draw: random.Random) -> None:
    """Sends a request, or a part of one, and is gone."""
    sent = await _spelled(server, session, request)
    if request.kind == "plot" and draw.random() < 0.5:  # the other half leave in or after the request for it
        async with session.post("/api/plots", json=request.brief) as answer:
            if answer.status == 201:
                sent = raw_request((await answer.json())["events"].encode())
    host = urlsplit(server.address)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    moment = draw.choice(MOMENTS)
    writer.write(sent[: draw.randrange(1, len(sent))] if moment == "in the request" else sent)
    await writer.drain()
    if moment == "in the answer":
        try:
            async with asyncio.timeout(draw.uniform(0.01, 1.0)):
                for _ in range(draw.randint(1, 20)):
                    await reader.read(256)
        except (TimeoutError, ConnectionError):
            pass
    else:
        await asyncio.sleep(draw.uniform(0, 0.05))
    if draw.random() < 0.5:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


async def _spelled(server: Serving, session: aiohttp.ClientSession, request: SampleRequest) -> bytes:
    path = PATHS[request.kind]
    if request.kind == "page":
        visitor = await visit(session)
        return raw_request(
            path, urlencode(request.form(visitor.token)).encode(), FORM, [b"Cookie: " + visitor.cookie.encode()]
        )
    body = request.brief if request.kind == "plot" else {"model": server.model} | request.completion
    return raw_request(path, json.dumps(body).encode())
