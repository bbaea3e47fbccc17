"""The trials of `plotify bench chaos`: clients leave, the server is killed, the model fails."""

import asyncio
import json
import os
import random
import signal
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import perf_counter
from urllib.parse import urlencode, urlsplit

import aiohttp

from benchmarks.client import KINDS, MAX_ROWS, Client, Reply, SampleRequest, Visitor, connect, sample_requests
from benchmarks.process import Serving
from benchmarks.trials.raw import FORM, raw_request
from benchmarks.trials.trial import Target, TrialResult, resident_bytes, until_running
from benchmarks.workload import closed_loop

WAVE = 100
"""Clients in a wave. The server is checked after each wave."""

AT_ONCE = 32
IDLE = 1.0
"""Seconds after the last client until the engine must be idle."""

GRACE = 1
"""Seconds that a plot goes on without readers, and is kept after its end: the lowest settings."""

FLAT = 0.03
LONG = 400
"""New tokens of a request, far more than any client waits for."""

RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER to reset the connection on closing."""

PATHS = {"stream": b"/v1/completions", "whole": b"/v1/completions", "page": b"/desk", "plot": b"/api/plots"}
MOMENTS = ("in the request", "before the answer", "in the answer")


@dataclass(frozen=True)
class Wave:
    """The state after a wave.

    Attributes:
        plots: True if the requests were plots, False for the other kinds.
        running: the most sequences running at once.
        idle: seconds from the last client's leaving until the engine was idle.
        resident: resident memory in bytes.
    """

    plots: bool
    running: int
    idle: float
    resident: int


def disconnect(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Send `count` requests, and drop each at a random moment; call `advance` for each.

    They come in waves. After each wave the engine must become idle. In every fourth wave they are plots: these go on
    for their grace period, while the others end with their client. Before and after all waves, one request takes all
    rows.
    """
    draw = random.Random(seed)
    ending = sample_requests(seed, LONG, target.genres, ("stream", "whole", "page"), "paragraph")
    going_on = sample_requests(seed + 1, LONG, target.genres, ("plot",), "paragraph")

    async def run(server: Serving) -> tuple[int, list[Wave], bool]:
        async def wave(plots: bool, size: int, advance: Callable[[], None]) -> Wave:
            async def come_and_go(request: SampleRequest) -> int:
                running, _ = await client.engine_load()
                await _drop(server, client, request, draw)
                advance()
                return running

            running = await closed_loop(AT_ONCE, islice(going_on if plots else ending, size), come_and_go)
            left_at = perf_counter()
            await client.until_idle(60)
            return Wave(plots, max(running), perf_counter() - left_at, resident_bytes(server))

        async with connect(server) as client:
            for plots in (False, True):  # the warm-up
                await wave(plots, WAVE, lambda: None)
            await client.take_all_rows(target.rows, target.context)  # touch the memory of every row
            before = resident_bytes(server)
            sizes = [min(WAVE, count - done) for done in range(0, count, WAVE)]
            waves = [await wave(number % 4 == 0, size, advance) for number, size in enumerate(sizes, 1)]
            try:
                async with asyncio.timeout(120):
                    usable = await client.take_all_rows(target.rows, LONG // 4)
            except TimeoutError:
                usable = False
        return before, waves, usable

    with target.serve("disconnects", plot_grace=GRACE, plot_ttl=GRACE, queue=MAX_ROWS * AT_ONCE) as server:
        before, waves, usable = asyncio.run(run(server))
    idle = max((each.idle for each in waves if not each.plots), default=0.0)
    idle_plots = max((each.idle for each in waves if each.plots), default=0.0)
    change = waves[-1].resident / before - 1
    return TrialResult.of(
        f"{count:,} requests dropped at random moments",
        f"no row leaked, engine idle within {IDLE:g} s after, memory flat (±{FLAT:.0%})",
        f"{'all rows usable' if usable else 'rows leaked'}; idle after {idle:.2f} s at most "
        f"(plots, with a grace period of {GRACE} s: {idle_plots:.2f} s); memory {change:+.1%}",
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


async def _drop(server: Serving, client: Client, request: SampleRequest, draw: random.Random) -> None:
    """Send a request, or a part of one, and leave."""
    sent = await _spelled(client, request)
    if request.kind == "plot" and draw.random() < 0.5:  # leave the events; the other half leave the POST
        async with client.session.post("/api/plots", json=request.brief) as answer:
            if answer.status == 201:
                sent = raw_request((await answer.json())["events"].encode())
    host = urlsplit(server.address)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    moment = draw.choice(MOMENTS)
    writer.write(sent[: draw.randrange(1, len(sent))] if moment == "in the request" else sent)
    await writer.drain()
    if moment == "in the answer":
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(draw.uniform(0.01, 1.0)):
                for _ in range(draw.randint(1, 20)):
                    await reader.read(256)
    else:
        await asyncio.sleep(draw.uniform(0, 0.05))
    if draw.random() < 0.5:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


async def _spelled(client: Client, request: SampleRequest) -> bytes:
    path = PATHS[request.kind]
    if request.kind == "page":
        visitor = await client.visit()
        fields = urlencode(request.form(visitor.token)).encode()
        return raw_request(path, fields, FORM, [b"Cookie: " + visitor.cookie.encode()])
    body = request.brief if request.kind == "plot" else {"model": client.model} | request.completion
    return raw_request(path, json.dumps(body).encode())


CLIENTS = 32


def kill(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Kill the server in mid-stream and restart it, `count` times; call `advance` for each.

    Half of the clients read streams of /v1. These break off. The same request with the same seed must begin with the
    same text. The other half follow plots, and come back to the next server for the rest, which must be their seed's.
    Meanwhile a writer keeps plots on a shelf, and none of these may get lost.
    """
    wanted = sample_requests(seed, LONG, target.genres, ("stream", "plot"), "paragraph")
    draw = random.Random(seed)
    shelf = Shelf()
    found: Counter[str] = Counter()
    starts: list[float] = []
    problems: list[str] = []

    async def break_off(server: Serving, cut: list[Reply], last: bool) -> list[Reply]:
        async with connect(server) as client:
            found.update(await asyncio.gather(*(_come_back(client, reply) for reply in cut)))
            if missing := await shelf.missing(client):
                problems.append(f"{missing} kept plots are lost")
            replies = [Reply(request) for request in islice(wanted, CLIENTS)]
            asking = [asyncio.create_task(client.ask(reply)) for reply in replies]
            writing = asyncio.create_task(shelf.fill(client))
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
        "restarts clean; all plots go on to their seed's text; nothing acknowledged is lost",
        f"ready again after {max(starts):.1f} s at most; {found['stream broke off']:,} streams of /v1 and "
        f"{found['plot broke off']:,} of plots broke off, and each client saw it; {found['again']:,} of /v1 gave the "
        f"same text again; {found['went on']:,} plots went on to their seed's text; {shelf.kept:,} plots were kept on "
        f"shelves, {shelf.lost} of them lost",
        found["stream broke off"] > 0 and found["plot broke off"] == found["went on"] + found["unacknowledged"],
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
    """The texts that the server has acknowledged as kept.

    Attributes:
        kept: the number of texts.
        lost: the number of missing ones, among each server's last writer's.
    """

    def __init__(self) -> None:
        self.kept = self.lost = 0
        self._last: list[tuple[Visitor, str, str]] = []

    async def fill(self, client: Client) -> None:
        """Keep one plot after another on a new shelf, until the connection is lost."""
        try:
            visitor = await client.visit()
            while True:
                text = f"Plot {self.kept} and what it is about."
                self._last.append((visitor, (await client.keep(visitor, text))["plot"], text))
                self.kept += 1
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return

    async def missing(self, client: Client) -> int:
        """Return the number of texts kept by the previous server and missing now."""
        last, self._last = self._last, []
        missing = 0
        for visitor, plot, text in last:
            async with client.session.get(f"/shelf/{plot}/plot.txt", headers={"Cookie": visitor.cookie}) as response:
                missing += text not in await response.text()
        self.lost += missing
        return missing


async def _come_back(client: Client, cut: Reply) -> str:
    """Come back to a reply cut off by the previous server, and return the outcome in words."""
    broke_off = cut.end == "cut"
    if cut.request.kind == "plot":
        if cut.place is None:  # the server had not acknowledged it
            return "unacknowledged"
        if broke_off:
            await client.ask(cut)
        if cut.end != "whole":
            return f"not gone on with: {cut.problem}"
        alone = await client.ask_alone(cut.request)
        if (alone.end, alone.text) != ("whole", cut.text):
            return "not its seed's text"
        return "went on" if broke_off else "whole"
    again = await client.ask_alone(cut.request)
    return "again" if again.end == "whole" and again.text.startswith(cut.text) else "not the same text again"


FAULTY = ("-m", "benchmarks.trials.faulty", "serve")
"""`plotify serve` with a model that fails on a signal."""

STREAMS = 16
AFTERWARDS = 4


def crash(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Raise an exception in the session among 16 streams, `count` times; call `advance` for each."""
    wanted = sample_requests(seed, LONG, target.genres, KINDS, "paragraph")
    check = list(islice(sample_requests(seed + 1, 8, target.genres), AFTERWARDS))
    ends: Counter[str] = Counter()
    problems: list[str] = []

    async def run(server: Serving) -> int:
        served = 0
        async with connect(server) as client:
            expected = [(await client.ask_alone(request)).text for request in check]
            for _ in range(count):
                replies = [Reply(request) for request in islice(wanted, STREAMS)]
                asking = [asyncio.create_task(client.ask(reply)) for reply in replies]
                await until_running(client, replies)
                os.kill(server.pid, signal.SIGUSR1)
                await asyncio.gather(*asking)
                ends.update(str(reply.end) for reply in replies)
                problems.extend(reply.complaint for reply in replies if reply.end in ("cut", "wrong"))
                for request, text in zip(check, expected, strict=True):
                    again = await client.ask_alone(request)
                    served += again.end == "whole" and again.text == text
                advance()
        return served

    with target.serve("crashes", program=FAULTY, queue=MAX_ROWS * STREAMS) as server:
        served = asyncio.run(run(server))
    return TrialResult.of(
        f"an exception in the session among {STREAMS} streams, {count} times",
        "each stream gets an error in its own form; later requests are served",
        f"{ends['told']} with an error, {ends['whole']} already whole, {ends['refused']} refused, "
        f"{len(problems)} others; {served} of {count * AFTERWARDS} later ones the same as before",
        ends["told"] > 0 and served == count * AFTERWARDS,
        {"crashes": count, "ends": dict(ends), "served_afterwards": served, "problems": problems},
    )
