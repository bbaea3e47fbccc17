"""The engine without the web, in a process of its own."""

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.load import Prompt, run_load
from benchmarks.timing import Timing
from server.engine import EngineConfig, Sampling


class BareEngine:
    """Runs loads in its process, one at a time. Raises ChildProcessError when that ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, prompts: Sequence[Prompt], sampling: Sampling, concurrency: int) -> list[Timing]:
        """As `benchmarks.load.run_load`; its clock is this process's, too."""
        self._connection.send((prompts, sampling, concurrency))
        try:
            timings: list[Timing] = self._connection.recv()
        except EOFError as ended:
            raise ChildProcessError("the process of the bare engine ended; what it said is above") from ended
        return timings


@contextmanager
def bare_engine(bundle: Path, precision: str, rows: int) -> Iterator[BareEngine]:
    """Loads it; rows: sequences at once, and as many more that may wait."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, bundle, precision, rows), daemon=True)
    process.start()
    theirs.close()
    try:
        yield BareEngine(ours)
    finally:
        ours.close()
        process.join()


def _serve(connection: Connection, bundle: Path, precision: str, rows: int) -> None:
    from server.bundle import Bundle
    from server.engine import Engine

    with Engine(Bundle.load(bundle), EngineConfig(precision, queue=rows, rows=max(rows, 2), kept=0)) as engine:
        while True:
            try:
                prompts, sampling, concurrency = connection.recv()
            except EOFError:
                return
            connection.send(run_load(engine, prompts, sampling, concurrency))
