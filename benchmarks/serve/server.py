"""`plotify serve` in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTED = re.compile(r"Plotify writes with (?P<model>.+) at (?P<address>http://\S+)")
"""What the server says when it is ready."""


@contextmanager
def server(bundle: Path, precision: str, rows: int, log: Path) -> Iterator[tuple[str, str]]:
    """Serves a bundle on a free port of the loopback; its address and the model's name, once it is ready.

    rows: sequences at once, and requests that may wait. log: what it says on standard error. Raises ChildProcessError
    when it does not start.
    """
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "0"]
    command += ["--model", str(bundle), "--precision", precision, "--rows", str(max(rows, 2))]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"PLOTIFY_QUEUE": str(rows), "PLOTIFY_KEPT": "0"},
        ) as process,
    ):
        try:
            started = STARTED.match(process.stdout.readline() if process.stdout else "")
            if started is None:
                raise ChildProcessError(f"the server did not start: {log.read_text().strip()}")
            yield started["address"], started["model"]
        finally:
            process.terminate()
