"""A server in a process of its own, for as long as it is measured."""

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
"""The line of `plotify serve` when it is ready, and of the baseline of benchmarks.eager_server."""

PLOTIFY = ("-c", "from server.cli import main; main()", "serve")
"""`plotify serve`, for this very interpreter."""


@dataclass(frozen=True)
class Serving:
    """A server that is ready: where, the name of its model, and its process."""

    address: str
    model: str
    pid: int


Server = AbstractContextManager[Serving]
"""Runs for as long as it is entered."""


@contextmanager
def serving(arguments: Sequence[str], log: Path, **settings: Any) -> Iterator[Serving]:
    """Runs Python with these arguments, waits until it says that it is ready, and stops it in the end.

    Its shelf is a temporary one, never the user's. log: for its standard error. settings: fields of `Settings`. Raises
    ChildProcessError if it does not start.
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
    """`serving` for `plotify serve`, or a program with the same settings, on the loopback; port 0 is any free one."""
    return serving(program, log, host="127.0.0.1", port=port, **settings)
