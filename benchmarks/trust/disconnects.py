"""Clients who leave at any moment, and what is left of them in the server."""

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

from benchmarks.process import Serving
from benchmarks.trust.asking import MAX_ROWS, Order, Visitor, orders, visit
from benchmarks.trust.row import Row
from benchmarks.trust.target import Target, connect, resident_bytes, take_all_rows, work
from server.bundle import Bundle

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

MOMENTS = ("in the request", "before the answer", "in the answer")


@dataclass(frozen=True)
class Left:
    """What a wave leaves. plots: whether it was of plots. running: the most sequences that were written meanwhile.

    idle: seconds from when the last client left until the engine had nothing to do. resident: bytes.
    """

    plots: bool
    running: int
    idle: float
    resident: int


def disconnect(target: Target, count: int, seed: int, advance: Callable[[], None]) -> Row:
    """`count` requests of which each is dropped at a random moment; `advance` is called for each.

    They come in waves, after each of which the engine has to become idle. Every fourth wave is of plots, which have
    their grace before; the others end with their client. Before and after, one request takes all rows.
    """
    manifest = Bundle.load(target.bundle).manifest
    waves = [min(WAVE, count - done) for done in range(0, count, WAVE)]

    async def run() -> tuple[int, list[Left], bool]:
        draw = random.Random(seed)
        ending = orders(seed, LONG, manifest.prompt.genres, ("stream", "whole", "page"), "paragraph")
        going_on = orders(seed + 1, LONG, manifest.prompt.genres, ("plot",), "paragraph")
        async with connect(server) as session:
            for wanted in (ending, going_on):  # warms
                await _wave(server, session, [next(wanted) for _ in range(WAVE)], draw, lambda: None)
                await _idle(session)
            await take_all_rows(session, server.model, target.rows, manifest.model.context)  # of each row all memory
            before = resident_bytes(server)
            found = []
            for number, size in enumerate(waves, 1):
                plots = number % 4 == 0
                wanted = going_on if plots else ending
                running = await _wave(server, session, [next(wanted) for _ in range(size)], draw, advance)
                left_at = perf_counter()
                await _idle(session)
                found.append(Left(plots, running, perf_counter() - left_at, resident_bytes(server)))
            usable = await _usable(session, server.model, target.rows)
        return before, found, usable

    with target.serve("disconnects", plot_grace=GRACE, plot_ttl=GRACE, queue=MAX_ROWS * AT_ONCE) as server:
        before, waves_left, usable = asyncio.run(run())
    idle = max((left.idle for left in waves_left if not left.plots), default=0.0)
    idle_plots = max((left.idle for left in waves_left if left.plots), default=0.0)
    change = waves_left[-1].resident / before - 1
    return Row(
        f"{count:,} requests dropped at random moments",
        f"no row leaked, engine idle within {IDLE:g} s after, memory flat (±{FLAT:.0%})",
        f"{'all rows usable' if usable else 'rows leaked'}; idle after {idle:.2f} s at most "
        f"(plots, whose grace is {GRACE} s: {idle_plots:.2f} s); memory {change:+.1%}",
        usable and idle <= IDLE and idle_plots <= GRACE + IDLE and abs(change) <= FLAT,
        {
            "requests": count,
            "running": max(left.running for left in waves_left),
            "rows_usable": usable,
            "idle_seconds": idle,
            "idle_seconds_of_plots": idle_plots,
            "resident_bytes": [before, *(left.resident for left in waves_left)],
            "memory": change,
        },
    )


async def _wave(
    server: Serving,
    session: aiohttp.ClientSession,
    wanted: list[Order],
    draw: random.Random,
    advance: Callable[[], None],
) -> int:
    """Has all of them come and go; the most sequences that were being written at the same time."""
    room = asyncio.Semaphore(AT_ONCE)
    most = 0

    async def come_and_go(order: Order) -> None:
        nonlocal most
        async with room:
            most = max(most, (await work(session))[0])
            await _drop(server, session, order, draw)
            advance()

    await asyncio.gather(*(come_and_go(order) for order in wanted))
    return most


async def _drop(server: Serving, session: aiohttp.ClientSession, order: Order, draw: random.Random) -> None:
    """Sends a request, or a part of one, and is gone."""
    path = {"stream": "/v1/completions", "whole": "/v1/completions", "page": "/desk", "plot": "/api/plots"}[order.kind]
    request = _spelled(server, path, order, await visit(session) if order.kind == "page" else None)
    if order.kind == "plot" and draw.random() < 0.5:  # the other half leave in or after the request for it
        async with session.post(path, json=order.brief) as answer:
            if answer.status == 201:
                request = _get(server, (await answer.json())["events"])
    host = urlsplit(server.address)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    moment = draw.choice(MOMENTS)
    writer.write(request[: draw.randrange(1, len(request))] if moment == "in the request" else request)
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


async def _idle(session: aiohttp.ClientSession) -> None:
    """Returns when the engine has nothing to do; waits for no more than a minute."""
    start = perf_counter()
    while any(await work(session)) and perf_counter() < start + 60:
        await asyncio.sleep(0.01)


async def _usable(session: aiohttp.ClientSession, model: str, rows: int) -> bool:
    """Whether one request can have all rows, which it waits for: no longer than two minutes."""
    try:
        async with asyncio.timeout(120):
            return await take_all_rows(session, model, rows, LONG // 4)
    except TimeoutError:
        return False


def _spelled(server: Serving, path: str, order: Order, visitor: Visitor | None) -> bytes:
    if visitor:
        kind, body = "application/x-www-form-urlencoded", urlencode(order.form(visitor.token)).encode()
    elif order.kind == "plot":
        kind, body = "application/json", json.dumps(order.brief).encode()
    else:
        kind, body = "application/json", json.dumps({"model": server.model} | order.completion).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(server.address).netloc}\r\nContent-Type: {kind}\r\n"
    head += f"Cookie: {visitor.cookie}\r\n" if visitor else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _get(server: Serving, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(server.address).netloc}\r\n\r\n".encode()
