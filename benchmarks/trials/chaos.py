"""The trials of `plotify bench chaos`: clients who leave, a server that is killed, a model that fails."""

import asyncio
import json
import os
import random
import signal
import socket
import struct
from collections import Counter
from collections.abc import Callable
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
            for plots in (False, True):  # warms
                await wave(plots, WAVE, lambda: None)
            await client.take_all_rows(target.rows, target.context)  # of each row all memory
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


async def _drop(server: Serving, client: Client, request: SampleRequest, draw: random.Random) -> None:
    """Sends a request, or a part of one, and is gone."""
    sent = await _spelled(client, request)
    if request.kind == "plot" and draw.random() < 0.5:  # the other half leave in or after the request for it
        async with client.session.post("/api/plots", json=request.brief) as answer:
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
    """`count` times kill -9 in mid-stream and a start on the same port; `advance` is called for each.

    Half of the clients read streams of /v1. Theirs break off, and asked for again with the same seed they begin with
    the same text. Half follow plots, which are written in memory only: they break off too, and the next server says
    that it knows nothing of them. Beside them a writer has plots kept on a shelf, which must all be there.
    """
    wanted = sample_requests(seed, LONG, target.genres, ("stream", "plot"), "paragraph")
    draw = random.Random(seed)
    shelf = Shelf()
    found: Counter[str] = Counter()
    starts: list[float] = []
    problems: list[str] = []

    async def break_off(server: Serving, cut: list[Reply], last: bool) -> list[Reply]:
        async with connect(server) as client:
            for reply in cut:
                found[await _come_back(client, reply)] += 1
            if missing := await shelf.missing(client):
                problems.append(f"{missing} plots that were kept are gone")
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

    async def fill(self, client: Client) -> None:
        """Has one plot after another kept on a new shelf, until the connection is lost."""
        try:
            visitor = await client.visit()
            while True:
                text = f"Plot {self.kept} and what it is about."
                self._last.append((visitor, (await client.keep(visitor, text))["plot"], text))
                self.kept += 1
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return

    async def missing(self, client: Client) -> int:
        """Counts the texts that were kept before the server was killed and are not there."""
        last, self._last = self._last, []
        missing = 0
        for visitor, plot, text in last:
            async with client.session.get(f"/shelf/{plot}/plot.txt", headers={"Cookie": visitor.cookie}) as response:
                missing += text not in await response.text()
        self.lost += missing
        return missing


async def _come_back(client: Client, cut: Reply) -> str:
    """Names what a client finds that had a reply of the server before."""
    if cut.place is not None:
        async with client.session.get(cut.place) as response:
            if response.status == 200:
                return "kept"
            said = (await response.json())["message"]
            return "unknown" if response.status == 404 and "has restarted" in said else f"not clear: {said}"
    if cut.request.kind == "plot":  # it was not acknowledged
        return "unacknowledged"
    again = await client.ask_alone(cut.request)
    return "again" if again.end == "whole" and again.text.startswith(cut.text) else "not the same text again"


FAULTY = ("-m", "benchmarks.trials.faulty", "serve")
"""`plotify serve`, with a model that fails when it is told to."""

STREAMS = 16
AFTERWARDS = 4


def crash(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """`count` times an exception in the session among 16 streams; `advance` is called for each."""
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
        "each stream gets an error in its own form; the requests after it are served",
        f"{ends['told']} told, {ends['whole']} whole already, {ends['refused']} refused, {len(problems)} others; "
        f"{served} of {count * AFTERWARDS} afterwards as before",
        ends["told"] > 0 and served == count * AFTERWARDS,
        {"crashes": count, "ends": dict(ends), "served_afterwards": served, "problems": problems},
    )
