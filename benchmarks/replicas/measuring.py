"""One server after the other under the same load, and a replica that is killed in the middle of it."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import psutil

from benchmarks.load import make_prompts
from benchmarks.process import PLOTIFY, Serving, serving
from benchmarks.serve.clients import run_streams
from benchmarks.timing import Timing, percentiles, tokens_per_second
from benchmarks.trust.asking import Answer, Order, ask, orders
from benchmarks.trust.target import connect
from server.bundle import Bundle
from server.settings import variable

SERVE = (*PLOTIFY, "serve", "--port", "0")

KILLED_TOKENS = 192
"""Of each text while a replica is killed, at most, and at least half as many."""

KINDS = {
    "ServeReplica:plotify:Engine": "engine",
    "ServeReplica:plotify:App": "app",
    "ProxyActor": "proxy",
    "ray": "Ray",
    "": "server",
}
"""What the command line of a process holds, the most telling first, and what that is called."""


@dataclass(frozen=True)
class Setup:
    """A server to measure, by the settings that all have. program: what Python is to run."""

    name: str
    program: Sequence[str]
    replicas: int

    def serve(self, bundle: Path, precision: str, rows: int, log: Path) -> AbstractContextManager[Serving]:
        """Starts it. rows: of all replicas together. Raises ChildProcessError when it does not start."""
        settings = {
            "model": bundle,
            "precision": precision,
            "rows": max(rows // self.replicas, 2),
            "queue": rows,
            "kept": 0,
            "replicas": self.replicas,
        }
        return serving(self.program, log, {variable(name): str(value) for name, value in settings.items()})


SETUPS = (
    Setup("one process, without Ray", SERVE, 1),
    Setup("one replica", ("-m", "benchmarks.replicas.hop"), 1),
    Setup("two replicas", SERVE, 2),
)


@dataclass(frozen=True)
class Measured:
    """What came of a setup. Latencies are percentiles in seconds, by their rank.

    tokens_per_second: the median of `each_round`. seconds_per_token: of a core, by the kind of process that spent them.
    resident_bytes: after the load, of the processes of a kind.
    """

    name: str
    tokens_per_second: float
    each_round: list[float]
    time_to_first_token: dict[int, float]
    inter_token_latency: dict[int, float]
    seconds_per_token: dict[str, float]
    resident_bytes: dict[str, list[int]]


@dataclass(frozen=True)
class Killed:
    """What became of texts whose replica was killed. silence: the longest of any, in seconds, and without a kill."""

    texts: int
    whole: int
    identical: int
    silence: float
    silence_before: float


def measure(
    setup: Setup,
    server: Serving,
    bundle: Bundle,
    tokens: tuple[int, int],
    clients: int,
    rounds: int,
    advance: Callable[[], None],
) -> Measured:
    """So many rounds of two streams for each client, after one that warms. tokens: of each prompt, and new ones."""
    timings: list[list[Timing]] = []
    warm: dict[str, float] = {}
    for turn in range(rounds + 1):
        if turn == 1:
            warm = _spent(server)
        prompts = make_prompts(bundle, clients * (2 if turn else 1), tokens[0], seed=turn)
        timings.append(run_streams(server.address, server.model, prompts, tokens[1], False, clients))
        advance()
    spent = _spent(server)
    timed = [timing for each in timings[1:] for timing in each]
    speeds = [tokens_per_second(each) for each in timings[1:]]
    return Measured(
        setup.name,
        median(speeds),
        speeds,
        percentiles([timing.arrivals[0][0] - timing.submitted for timing in timed]),
        percentiles([gap for timing in timed for gap in timing.gaps]),
        {kind: (spent[kind] - warm[kind]) / (len(timed) * tokens[1]) for kind in spent},
        {kind: [each.memory_info().rss for each in found] for kind, found in _processes(server).items()},
    )


def kill(server: Serving, texts: int, seed: int) -> Killed:
    """Has texts written at once, twice; when all have begun the second time, the process of a replica is killed."""

    async def write(victim: int | None) -> list["Listened"]:
        answers = [Listened(order) for order in islice(orders(seed, KILLED_TOKENS, (), ("stream",)), texts)]
        async with connect(server) as session:
            asking = [asyncio.create_task(ask(session, server.model, answer)) for answer in answers]
            while victim and not all(answer.first for answer in answers):
                await asyncio.sleep(0.01)
            if victim:
                os.kill(victim, signal.SIGKILL)
            await asyncio.gather(*asking)
        return answers

    before = asyncio.run(write(None))
    after = asyncio.run(write(_processes(server)["engine"][0].pid))
    return Killed(
        texts,
        sum(answer.end == "whole" for answer in after),
        sum(answer.end == "whole" and answer.text == old.text for answer, old in zip(after, before, strict=True)),
        max(answer.silence for answer in after),
        max(answer.silence for answer in before),
    )


class Listened(Answer):
    """An answer, and the longest time between two pieces of its text, in seconds."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.silence = 0.0
        self._last: float | None = None

    def add(self, text: str) -> None:
        super().add(text)
        now = perf_counter()
        self.silence = max(self.silence, now - (self._last or now))
        self._last = now


def _spent(server: Serving) -> dict[str, float]:
    """Seconds of a core that its processes took so far, by their kind."""
    return {kind: sum(sum(each.cpu_times()[:2]) for each in found) for kind, found in _processes(server).items()}


def _processes(server: Serving) -> dict[str, list[psutil.Process]]:
    """The server's, and all that it started, by their kind."""
    found = defaultdict(list)
    own = psutil.Process(server.pid)
    for process in (own, *own.children(recursive=True)):
        line = " ".join(process.cmdline()) if process != own else ""
        found[next(kind for holds, kind in KINDS.items() if holds in line)].append(process)
    return found
