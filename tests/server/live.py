"""A server on a free port, for tests with a real socket."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
import uvicorn

from server.app import create_app
from server.bundle import Bundle
from server.engine import Engine, EngineBusy, EngineConfig, Request, Sampling, Stream
from server.engine.arrays import Floats
from server.engine.model.runner import Runner
from server.http.connection import ServerConfig
from server.settings import Settings


@dataclass(frozen=True)
class LiveServer:
    """A server, its address and its engine."""

    address: str
    engine: Engine


@contextmanager
def serving(
    bundle: Bundle, settings: Settings | None = None, precision: str | None = None, rows: int = 2, port: int = 0
) -> Iterator[LiveServer]:
    """Serve a bundle with uvicorn in a thread, with a queue of four. port: 0 for any free one."""
    engine = Engine(bundle, EngineConfig(precision, threads=1, queue=4, rows=rows))
    settings = settings or Settings()
    config = ServerConfig(
        create_app(engine, settings), settings, port=port, log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield LiveServer(f"http://127.0.0.1:{port}", engine)
    finally:
        server.should_exit = True
        thread.join()


def slow_down(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Make each decode step take longer, as on a slower machine, so that a test can watch a stream."""
    decode = Runner.decode

    def decode_slowly(runner: Runner, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        time.sleep(seconds)
        return decode(runner, tokens, lengths)

    monkeypatch.setattr(Runner, "decode", decode_slowly)


def fill_up(engine: Engine) -> list[Stream]:
    """Send requests of new clients until the engine refuses one."""
    streams: list[Stream] = []
    with suppress(EngineBusy):
        while True:
            endless = Request("A fox", Sampling(max_tokens=100, ignore_end=True), client=f"client {len(streams)}")
            streams.append(engine.submit(endless))
    return streams


def wait_until_idle(engine: Engine, seconds: float = 20.0) -> None:
    """Fail if the engine still has a request after so many seconds."""
    deadline = time.monotonic() + seconds
    while engine.running or engine.queued:
        assert time.monotonic() < deadline, "the engine is still at work"
        time.sleep(0.005)
