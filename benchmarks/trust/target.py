"""The server that is tried, as a process of its own."""

import asyncio
import resource
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.process import PLOTIFY, Serving, serving
from benchmarks.trust.asking import Answer
from server.settings import variable

FAULTY = ("-m", "benchmarks.trust.faulty")
"""`plotify`, whose model fails when it is told to."""


@dataclass(frozen=True)
class Target:
    """How the server is started. bundle, precision, rows: as `plotify serve` takes them. logs: a folder."""

    bundle: Path
    precision: str
    rows: int
    logs: Path

    def serve(
        self, name: str, port: int = 0, program: Sequence[str] = PLOTIFY, **settings: Any
    ) -> AbstractContextManager[Serving]:
        """Starts it on the loopback, port 0 for any that is free; what it says on standard error goes to name.log.

        settings: fields of `Settings` beside those. Raises ChildProcessError when it does not start.
        """
        flags = ("--host", "127.0.0.1", "--port", str(port), "--model", str(self.bundle))
        more = ("--precision", self.precision, "--rows", str(self.rows))
        environment = {variable(setting): str(value) for setting, value in settings.items()}
        return serving([*program, "serve", *flags, *more], self.log(name), environment)

    def log(self, name: str) -> Path:
        """Where a server of this name complains."""
        return self.logs / f"{name}.log"


def connect(server: Serving) -> aiohttp.ClientSession:
    """A client with as many connections as it wants, a new one for each request."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(server.address, connector=connector, timeout=aiohttp.ClientTimeout(total=None))


async def until_written(session: aiohttp.ClientSession, answers: Sequence[Answer]) -> None:
    """Returns when each of these answers is being written, or has ended."""
    while True:
        running, _ = await work(session)
        if running + sum(answer.end is not None for answer in answers) >= len(answers):
            return
        await asyncio.sleep(0.01)


async def work(session: aiohttp.ClientSession) -> tuple[int, int]:
    """What the engine has to do, by its own word: sequences that are written, requests that wait."""
    async with session.get("/healthz") as answer:
        health = await answer.json()
        return health["running"], health["waiting"]


async def take_all_rows(session: aiohttp.ClientSession, model: str, rows: int, tokens: int) -> bool:
    """Asks for so many tokens in each of the rows, which one request gets once all are free; whether all came."""
    body = {"model": model, "prompt": "All of them", "n": rows, "max_tokens": tokens, "ignore_eos": True, "seed": 1}
    async with session.post("/v1/completions", json=body) as answer:
        return answer.status == 200 and len((await answer.json())["choices"]) == rows


def resident_bytes(server: Serving) -> int:
    """Memory that the server's process holds now."""
    return int(psutil.Process(server.pid).memory_info().rss)


def allow_connections() -> None:
    """Lets this process, and the servers that it starts, have as many connections as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
