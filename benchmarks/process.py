"""Servers under test: start one in its own process, and stop it at the end."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.settings import variable

STARTED = re.compile(r"\S.* writes with (?P<model>.+) at (?P<address>http://\S+)")
"""The line printed by `plotify serve` and benchmarks.eager_server when they are ready."""

PLOTIFY = ("-c", "from server.cli import main; main()", "serve")
"""Arguments for this Python interpreter to run `plotify serve`."""


@dataclass(frozen=True)
class Serving:
    """A server ready for requests: its address, the name of its model, and its process id."""

    address: str
    model: str
    pid: int


Server = AbstractContextManager[Serving]
"""Runs a server inside a `with` block."""


@contextmanager
def serving(arguments: Sequence[str], log: Path, **settings: Any) -> Iterator[Serving]:
    """Run Python with these arguments, wait until the server is ready, and stop it at the end.

    The server has a temporary shelf, never the user's.

    Args:
        log: the file for its standard error.
        settings: fields of `Settings`.

    Raises:
        ChildProcessError: it does not start.
    """
    with tempfile.TemporaryDirectory() as folder, log.open("w") as errors:
        settings = {"database": f"{folder}/shelf.sqlite"} | settings
        environment = os.environ | {variable(name): str(value) for name, value in settings.items()}
        command = [sys.executable, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process:
            try:
                started = STARTED.match(process.stdout.readline() if process.stdout else "")
                if started is None:
                    raise ChildProcessError(f"the server did not start: {log.read_text().strip()}")
                yield Serving(started["address"], started["model"], process.pid)
            finally:
                process.terminate()


def plotify(log: Path, port: int = 0, program: Sequence[str] = PLOTIFY, **settings: Any) -> Server:
    """Run `plotify serve`, or a program with the same settings, on the loopback; see `serving`.

    Args:
        port: 0 takes any free port.
    """
    return serving(program, log, host="127.0.0.1", port=port, **settings)
