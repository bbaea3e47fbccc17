"""A trial of `plotify bench chaos`: two apps and two replicas lose a process, under readers of plots."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice, pairwise
from urllib.parse import urlsplit

import psutil

from benchmarks.client import Client, Reply, connect, sample_requests
from benchmarks.process import PLOTIFY, Serving
from benchmarks.trials.trial import Target, TrialResult

VICTIMS = {
    "an app": "ServeReplica:plotify:App",
    "an engine": "ServeReplica:plotify:Engine",
    "the raylet": "/raylet/raylet",
}
"""The processes to kill, each with a part of its command line."""

PROGRAM = PLOTIFY
RETRY = 1.0
"""Seconds before an EventSource comes back, and before a supervisor starts the command again."""

PATIENCE = 300.0
"""Seconds for the command to end and to start again."""


def lose(target: Target, count: int, seed: int, advance: Callable[[], None]) -> TrialResult:
    """Kill an app, an engine and Ray's raylet, each in a run of its own.

    Call `advance` for each of `count` readers. The readers follow plots as a browser's EventSource does: they come back
    for the rest, to whatever answers at the address. When the raylet is killed, the readers leave. The command ends and
    is started again, as by systemd, and the readers come back.
    """
    figures: dict[str, dict[str, float]] = {}
    problems: list[str] = []
    for number, (victim, marker) in enumerate(VICTIMS.items()):
        replies = [Reply(each) for each in islice(sample_requests(seed + number, 1, (), ("plot",), "paragraph"), count)]
        identical = _run(target, victim, marker, replies)
        problems += [f"{victim}: {reply.complaint}" for reply in replies if reply.end != "whole"]
        figures[victim] = {
            "whole": sum(reply.end == "whole" for reply in replies),
            "identical": identical,
            "silence": max((b - a for reply in replies for a, b in pairwise(reply.arrivals)), default=0.0),
        }
        for _ in range(count * (number + 1) // len(VICTIMS) - count * number // len(VICTIMS)):
            advance()
    return TrialResult.of(
        f"two apps, two replicas, {count} EventSources: {', '.join(VICTIMS)} killed, each in a run of its own",
        "all plots whole and their seed's text; for the raylet after the command's restart",
        "; ".join(
            f"{victim}: {found['whole']} whole, {found['identical']} identical, silence of {found['silence']:.1f} s at "
            "most"
            for victim, found in figures.items()
        ),
        all(found["identical"] == count for found in figures.values()),
        {"readers": count, "runs": figures, "problems": problems},
    )


def _run(target: Target, victim: str, marker: str, replies: list[Reply]) -> int:
    """Kill a process while plots are generated. Return how many texts are those of their seeds."""
    name = f"lost-{victim.split()[-1]}"
    database = target.logs / f"{name}.sqlite"
    for file in target.logs.glob(f"{database.name}*"):
        file.unlink()
    with ExitStack() as servers:

        def start(port: int = 0, again: str = "") -> Serving:
            settings = {"database": database, "replicas": 2, "apps": 2, "queue": 2 * len(replies)}
            return servers.enter_context(target.serve(name + again, port, PROGRAM, **settings))

        async def read() -> int:
            async with connect(server) as client:
                reading = [asyncio.create_task(_follow(client, reply)) for reply in replies]
                while not all(reply.first or reply.end for reply in replies):
                    await asyncio.sleep(0.01)
                _process(server, marker).send_signal(signal.SIGKILL)
                if victim == "the raylet":  # what runs goes on for seconds, until Ray notices
                    for each in reading:
                        each.cancel()
                    await asyncio.gather(*reading, return_exceptions=True)
                    await asyncio.to_thread(restart)
                    reading = [asyncio.create_task(_follow(client, reply)) for reply in replies]
                await asyncio.gather(*reading)
                alone = [await client.ask_alone(reply.request) for reply in replies]
                return sum(
                    (reply.end, again.end, again.text) == ("whole", "whole", reply.text)
                    for reply, again in zip(replies, alone, strict=True)
                )

        def restart() -> None:
            psutil.wait_procs([psutil.Process(server.pid)], PATIENCE)
            until = time.perf_counter() + PATIENCE
            while True:
                try:
                    start(urlsplit(server.address).port or 0, "-again")
                    return
                except ChildProcessError:  # the processes of the killed Ray still end
                    if time.perf_counter() > until:
                        raise
                    time.sleep(RETRY)

        server = start()
        return asyncio.run(read())


async def _follow(client: Client, reply: Reply) -> None:
    """Read a plot to its end, unless it is read. After a lost connection, come back, as EventSource does."""
    until = time.perf_counter() + PATIENCE
    while reply.end not in ("whole", "told") and time.perf_counter() < until:
        if reply.end:
            await asyncio.sleep(RETRY)
        await client.ask(reply)


def _process(server: Serving, marker: str) -> psutil.Process:
    """Return a process of a server with this in its command line."""
    children = psutil.Process(server.pid).children(recursive=True)
    return next(each for each in children if marker in " ".join(each.cmdline()))
