"""`plotify serve` in a process of its own."""

from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.process import PLOTIFY, Serving, serving


def server(bundle: Path, precision: str, rows: int, log: Path) -> AbstractContextManager[Serving]:
    """Serves a bundle on a free port of the loopback, without a memory of prompts, so that each is read.

    rows: sequences at once, and as many more that may wait. log: what it says on standard error. Raises
    ChildProcessError when it does not start.
    """
    flags = ("--port", "0", "--model", str(bundle), "--precision", precision, "--rows", str(max(rows, 2)))
    return serving([*PLOTIFY, "serve", *flags], log, {"PLOTIFY_QUEUE": str(rows), "PLOTIFY_KEPT": "0"})
