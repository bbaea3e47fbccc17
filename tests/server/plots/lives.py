"""Servers in processes of their own, to be killed, and clients that come back."""

import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

import httpx
from httpx_sse import ServerSentEvent, connect_sse

from server.engine.batch import Batch
from tests.server.desk.life import serve

POISON = 666
"""The seed of a request that kills the server."""


def serve_slowly(bundle: str, database: str, said: Connection) -> None:
    """Serve until killed, slowly enough for a kill in the middle of a text."""
    step = Batch.step

    def step_slowly(batch: Batch) -> None:
        time.sleep(0.03)
        step(batch)

    Batch.step = step_slowly  # type: ignore[assignment,method-assign]
    serve(bundle, database, said)


def serve_until_poisoned(bundle: str, database: str, said: Connection) -> None:
    """Serve until the poisonous request has a few tokens, as with a fault in the model's session."""
    step = Batch.step

    def step_or_die(batch: Batch) -> None:
        step(batch)
        for sequence in batch.scheduler.decoding:
            if sequence.sampling.seed == POISON and sequence.stats.generated > 3:
                os.kill(os.getpid(), signal.SIGKILL)

    Batch.step = step_or_die  # type: ignore[assignment,method-assign]
    serve(bundle, database, said)


Serve = Callable[[str, str, Connection], None]


class Life:
    """A server in a process of its own. address: where it listens."""

    def __init__(self, serve: Serve, bundle: Path, database: Path | str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.server.plots.lives"])
        heard, said = context.Pipe(duplex=False)
        self.process = context.Process(target=serve, args=(str(bundle), str(database), said))
        self.process.start()
        said.close()
        with open(heard.fileno(), closefd=False) as output:
            found = re.search(r"http://\S+", output.readline())
        assert found, "the server did not start"
        self.address = found[0]
        heard.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


@dataclass
class Reader:
    """A client that follows a plot from server to server, as a browser's EventSource does."""

    id: str
    events: list[ServerSentEvent] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].event in ("done", "error")

    def read(self, address: str, most: int | None = None) -> None:
        """Read on until the end or until the connection is lost, `most` events at most."""
        headers = {"Last-Event-ID": self.events[-1].id} if self.events else {}
        try:
            with (
                httpx.Client(timeout=120) as client,
                connect_sse(client, "GET", f"{address}/api/plots/{self.id}/events", headers=headers) as source,
            ):
                source.response.raise_for_status()
                self.events.extend(islice(source.iter_sse(), most))
        except httpx.TransportError:
            pass


def read_all(readers: Sequence[Reader], address: str) -> list[Thread]:
    threads = [Thread(target=reader.read, args=(address,)) for reader in readers if not reader.ended]
    for thread in threads:
        thread.start()
    return threads
