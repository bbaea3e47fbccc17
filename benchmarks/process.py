"""A server in a process of its own, for as long as it is measured."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.settings import variable

STARTED = re.compile(r"\S.* writes with (?P<model>.+) at (?P<address>http://\S+)")
"""What `plotify serve` says when it is ready, and the baseline of benchmarks.eager_server, too."""

PLOTIFY = ("-c", "from server.cli import main; main()")
"""The script `plotify`, for this very interpreter."""


@dataclass(frozen=True)
class Serving:
    """A server that is ready: where, the name of its model, and its process."""

    address: str
    model: str
    pid: int


@contextmanager
def serving(arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """Runs Python with these arguments, and waits until it says that it is ready; stops it in the end.

    Its shelf is a temporary one, never the user's. log: what it says on standard error. environment: what to add to
    this process's own. Raises ChildProcessError when it does not start.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {variable("database"): f"{folder}/shelf.sqlite"} | dict(environment or {}),
        ) as process,
    ):
        try:
            started = STARTED.match(process.stdout.readline() if process.stdout else "")
            if started is None:
                raise ChildProcessError(f"the server did not start: {log.read_text().strip()}")
            yield Serving(started["address"], started["model"], process.pid)
        finally:
            process.terminate()
