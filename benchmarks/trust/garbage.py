"""Bad input on raw sockets: each is answered or turned away, and the server is as it was."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from benchmarks.process import Serving
from benchmarks.trust.asking import Answer, ask_alone, orders, visit
from benchmarks.trust.inputs import Input, Known, inputs
from benchmarks.trust.row import Row
from benchmarks.trust.target import Target, connect, work
from server.bundle import Bundle

AT_ONCE = 32
SILENCE = 1.0
"""Seconds without an answer after which the client says that nothing more comes: the server may wait for the rest."""

PATIENCE = 30.0
"""Seconds after which a connection that is neither answered nor closed hangs."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)

TRACEBACK = re.compile(r"^Traceback .*\n(?:[ \t].*\n|\n)*(\S.*)", re.MULTILINE)
"""Its last line names the exception."""

KEPT = 86400
"""Seconds that the plot is kept whose address the inputs name."""

TOKENS = 8
"""Of a plot: the answers are not what is tried."""


@dataclass(frozen=True)
class Outcome:
    """What came of an input. statuses: of its answers, if any. problem: None where all is well."""

    statuses: tuple[int, ...]
    problem: str | None


def garbage(target: Target, count: int, seed: int, advance: Callable[[], None]) -> Row:
    """`count` bad inputs, each on a connection of its own; `advance` is called for each.

    One that is not answered as it should be is written to the target's folder, to be sent again.
    """
    manifest = Bundle.load(target.bundle).manifest
    statuses: Counter[int] = Counter()
    problems: list[str] = []

    async def run(server: Serving) -> None:
        known = await _known(server)
        waiting = inputs(known, seed, range(count))
        alone = next(orders(seed, TOKENS, manifest.prompt.genres, ("stream",)))

        async def client() -> None:
            for each in waiting:
                outcome = await send(server, each)
                statuses.update(outcome.statuses or (0,))
                if outcome.problem:
                    problems.append(f"{each.kind} {each.number}: {outcome.problem}; {_keep(target.logs, each, server)}")
                advance()

        async with connect(server) as session:
            before = await ask_alone(session, server.model, alone)
            await asyncio.gather(*(client() for _ in range(AT_ONCE)))
            problems.extend(await _afterwards(session, server, before))

    with target.serve("garbage", plot_ttl=KEPT, max_tokens=TOKENS) as server:
        asyncio.run(run(server))
    problems.extend(complaints(target.log("garbage")))
    closed = statuses.pop(0, 0)
    answered = ", ".join(f"{status}: {number:,}" for status, number in sorted(statuses.items()))
    return Row(
        f"{count:,} bad inputs",
        "no 5xx but a 503 that says when to come back, no hang, no crash",
        f"{answered}; {closed:,} closed without an answer; {len(problems)} problems"
        + "".join(f"; {problem}" for problem in problems[:3]),
        not problems,
        {"inputs": count, "statuses": dict(sorted(statuses.items())), "closed": closed, "problems": problems},
    )


async def send(server: Serving, bad: Input) -> Outcome:
    """Sends an input, and reads what comes until the server closes the connection."""
    host = urlsplit(server.address)
    received = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host.hostname, host.port)
            try:
                writer.write(bad.content)
                try:
                    async with asyncio.timeout(SILENCE) as silence:
                        while piece := await reader.read(65536):
                            received += piece
                            silence.reschedule(asyncio.get_running_loop().time() + SILENCE)
                except TimeoutError:
                    writer.write_eof()
                    while piece := await reader.read(65536):
                        received += piece
            finally:
                writer.close()
    except TimeoutError:
        return Outcome((), f"neither answered nor closed in {PATIENCE:g} seconds")
    except ConnectionRefusedError:
        return Outcome((), "the server is gone")
    except OSError:  # closed while more was being sent
        pass
    return judge(bytes(received))


def judge(received: bytes) -> Outcome:
    """Whether these answers are what a server may say to bad input."""
    answers = STATUS.findall(received)
    statuses = tuple(int(status) for status, _ in answers)
    problem = next(
        (
            f"answered {status.decode()}"
            for status, head in answers
            if status >= b"500" and not (status == b"503" and re.search(rb"(?im)^retry-after: \d+\r?$", head))
        ),
        None,
    )
    if received and not statuses:
        problem = f"no answer in HTTP: {received[:40]!r}"
    return Outcome(statuses, problem)


def complaints(log: Path) -> list[str]:
    """What a server said of exceptions that it did not expect."""
    found = TRACEBACK.findall(log.read_text(errors="replace"))
    return [f"in the log: {exception}" for exception in sorted(set(found))]


async def _known(server: Serving) -> Known:
    """A plot that has ended, and a visitor with one on the shelf."""
    async with connect(server) as session:
        async with session.post("/api/plots", json={"prompt": "A fox", "length": "line", "seed": 1}) as answer:
            started = await answer.json()
        async with session.get(started["events"]) as events:
            await events.read()
        visitor = await visit(session)
        form = {"token": visitor.token, "text": "A fox", "do": "keep"}
        headers = {"Cookie": visitor.cookie, "Accept": "application/json"}
        async with session.post("/desk", data=form, headers=headers) as answer:
            kept = await answer.json()
    return Known(server.model, str(started["self"]), visitor, str(kept["address"]))


async def _afterwards(session: aiohttp.ClientSession, server: Serving, before: Answer) -> list[str]:
    """What is wrong with the server now: it has to have nothing to do, and to write what it wrote before."""
    try:
        async with asyncio.timeout(PATIENCE):
            while any(await work(session)):
                await asyncio.sleep(0.05)
    except TimeoutError:
        return ["the engine is still at work"]
    except aiohttp.ClientError as error:
        return [f"the server is gone: {error}"]
    again = await ask_alone(session, server.model, before.order)
    return [] if (again.end, again.text) == ("whole", before.text) else ["the same seed gives another text"]


def _keep(folder: Path, bad: Input, server: Serving) -> str:
    """Writes down an input; how to send it again."""
    file = folder / f"garbage-{bad.number}.http"
    file.write_bytes(bad.content)
    host = urlsplit(server.address)
    return f"nc {host.hostname} {host.port} < {file}"
