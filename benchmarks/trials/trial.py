"""The frame of a trial: the server under trial, as a process of its own, and the result, a row of the table."""

import asyncio
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.box import MARKDOWN
from rich.table import Table

from benchmarks.client import Client, Reply
from benchmarks.process import PLOTIFY, Server, Serving, plotify
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

    @property
    def context(self) -> int:
        """Tokens of a text of the model at most."""
        return self.bundle.manifest.model.context

    def serve(self, name: str, port: int = 0, program: Sequence[str] = PLOTIFY, **settings: Any) -> Server:
        """Starts it on the loopback, port 0 for any that is free, with its standard error in name.log.

        settings: fields of `Settings` beside those. Raises ChildProcessError if it does not start.
        """
        own = {"model": self.bundle.path, "precision": self.precision, "rows": self.rows}
        return plotify(self.log(name), port, program, **own, **settings)

    def log(self, name: str) -> Path:
        """The file with the complaints of a server of this name."""
        return self.logs / f"{name}.log"


async def until_running(client: Client, replies: Sequence[Reply]) -> None:
    """Returns when each of these replies is being generated, or has ended."""
    while (await client.engine_load())[0] + sum(reply.end is not None for reply in replies) < len(replies):
        await asyncio.sleep(0.01)


def resident_bytes(server: Serving) -> int:
    """Memory that the server's process holds now."""
    return int(psutil.Process(server.pid).memory_info().rss)


def allow_connections() -> None:
    """Lets this process, and the servers that it starts, have as many connections as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True)
class TrialResult:
    """asked: the trial. target, measured: in words. figures: the measured numbers, for programs."""

    asked: str
    target: str
    measured: str
    reached: bool
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: str, target: str, measured: str, reached: bool, figures: dict[str, Any]) -> "TrialResult":
        """A result that tells its first three `problems` with what was measured; with any, it is not reached."""
        problems = figures.get("problems", [])
        told = "; ".join((measured, *problems[:3]))
        return cls(asked, target, told, reached and not problems, figures)


def table(results: Sequence[TrialResult]) -> Table:
    """The results as a table, which is Markdown as it is printed."""
    found = Table("asked", "target", "measured", "reached", box=MARKDOWN)
    for each in results:
        found.add_row(each.asked, each.target, each.measured, "yes" if each.reached else "**no**")
    return found
