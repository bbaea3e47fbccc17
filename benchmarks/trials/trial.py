"""The frame of every trial: the server under test, and the result as a row of the table."""

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
    """The settings of the server under test, and the folder for its logs."""

    bundle: Bundle
    precision: str
    rows: int
    logs: Path

    @property
    def genres(self) -> Sequence[str]:
        """The genres of the model."""
        return self.bundle.manifest.prompt.genres

    @property
    def guidance(self) -> float:
        """The model's own guidance."""
        return self.bundle.manifest.sampling.guidance

    @property
    def context(self) -> int:
        """The length of the model's context, in tokens."""
        return self.bundle.manifest.model.context

    def serve(self, name: str, port: int = 0, program: Sequence[str] = PLOTIFY, **settings: Any) -> Server:
        """Start the server on the loopback, with its standard error in NAME.log.

        Args:
            port: 0 takes any free port.
            settings: other fields of `Settings`.

        Raises:
            ChildProcessError: it does not start.
        """
        own = {"model": self.bundle.path, "precision": self.precision, "rows": self.rows}
        return plotify(self.log(name), port, program, **own, **settings)

    def log(self, name: str) -> Path:
        """Return the log file of a server of this name."""
        return self.logs / f"{name}.log"


async def until_running(client: Client, replies: Sequence[Reply]) -> None:
    """Wait until each of these replies is running or has ended."""
    while (await client.engine_load())[0] + sum(reply.end is not None for reply in replies) < len(replies):
        await asyncio.sleep(0.01)


def resident_bytes(server: Serving) -> int:
    """Return the resident memory of the server's process."""
    return int(psutil.Process(server.pid).memory_info().rss)


def allow_connections() -> None:
    """Allow this process and its servers as many connections as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial, in words.

    Attributes:
        asked: the trial.
        target: its target.
        measured: the measurement.
        figures: the measured numbers, for programs.
    """

    asked: str
    target: str
    measured: str
    reached: bool
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: str, target: str, measured: str, reached: bool, figures: dict[str, Any]) -> "TrialResult":
        """Return a result with the first three `problems` in `measured`. Any problem means it is not reached."""
        problems = figures.get("problems", [])
        told = "; ".join((measured, *problems[:3]))
        return cls(asked, target, told, reached and not problems, figures)


def table(results: Sequence[TrialResult]) -> Table:
    """Return the results as a table that prints as Markdown."""
    found = Table("asked", "target", "measured", "reached", box=MARKDOWN)
    for each in results:
        found.add_row(each.asked, each.target, each.measured, "yes" if each.reached else "**no**")
    return found
