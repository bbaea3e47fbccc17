"""The server under trial, as a process of its own."""

import asyncio
import resource
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.client import Reply, engine_load
from benchmarks.process import PLOTIFY, Serving, plotify
from server.bundle import Bundle


@dataclass(frozen=True)
class Target:
    """The settings of the server. precision, rows: as `plotify serve` takes them. logs: a folder."""

    bundle: Bundle
    precision: str
    rows: int
    logs: Path

    @property
    def genres(self) -> Sequence[str]:
        """Of the model."""
        return self.bundle.manifest.prompt.genres

    def serve(
        self, name: str, port: int = 0, program: Sequence[str] = PLOTIFY, **settings: Any
    ) -> AbstractContextManager[Serving]:
        """Starts it on the loopback, port 0 for any that is free, with its standard error in name.log.

        settings: fields of `Settings` beside those. Raises ChildProcessError if it does not start.
        """
        own = {"model": self.bundle.path, "precision": self.precision, "rows": self.rows}
        return plotify(self.log(name), port, program, **own, **settings)

    def log(self, name: str) -> Path:
        """The file with the complaints of a server of this name."""
        return self.logs / f"{name}.log"


async def until_running(session: aiohttp.ClientSession, replies: Sequence[Reply]) -> None:
    """Returns when each of these replies is being generated, or has ended."""
    while True:
        running, _ = await engine_load(session)
        if running + sum(reply.end is not None for reply in replies) >= len(replies):
            return
        await asyncio.sleep(0.01)


async def until_idle(session: aiohttp.ClientSession, seconds: float) -> bool:
    """Waits until the engine has nothing to do; False if it still has after so many seconds."""
    until = asyncio.get_running_loop().time() + seconds
    while any(await engine_load(session)):
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.01)
    return True


def resident_bytes(server: Serving) -> int:
    """Memory that the server's process holds now."""
    return int(psutil.Process(server.pid).memory_info().rss)


def allow_connections() -> None:
    """Lets this process, and the servers that it starts, have as many connections as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
