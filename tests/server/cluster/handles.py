"""A fake handle of Ray Serve, with scripted replicas at the other end of channels."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from server.cluster.frames import Frames
from server.cluster.messages import Failure, RemoteRequest, Step, decode_app_message, encode
from server.cluster.replica import ReplicaStats
from server.engine import Chunk, Engine, EngineError, merged

Script = Callable[[RemoteRequest], AsyncIterator[Step]]

KEY = b"the key of all replicas"
STATS = ReplicaStats("a", ("", 0), KEY, {}, "ready", "cpu", "int8", 0, 0.0, 0.0, 0, 0.0, 3.0, 0, 0, "bits")


class Death(Exception):
    """A script raises it to end its replica."""


class Handle:
    """Runs one script for each request, the last one again and again, and records what the app sends.

    stats: the answers of the replicas. All of them listen at the same address. channels: the number of the connection
    of each request.
    """

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.messages: list[Any] = []
        self.channels: list[int] = []
        self.stats: list[object] = [STATS]
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def remotes(self) -> list[RemoteRequest]:
        return [message for message in self.messages if isinstance(message, RemoteRequest)]

    def broadcast(self, method: str) -> Any:
        assert method == "stats"

        async def results(timeout_s: float, return_exceptions: bool) -> list[object]:
            if self._server is None:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            address = self._server.sockets[0].getsockname()
            return [
                dataclasses.replace(each, address=address) if isinstance(each, ReplicaStats) else each
                for each in self.stats
            ]

        return SimpleNamespace(results_async=results)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = await Frames.accept(reader, writer, KEY)
        channel = id(frames)
        while (frame := await frames.receive()) is not None:
            message = decode_app_message(frame)
            self.messages.append(message)
            if isinstance(message, RemoteRequest):
                self.channels.append(channel)
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                task = asyncio.create_task(self._run(script(message), frames))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        frames.close()

    async def _run(self, steps: AsyncIterator[Step], frames: Frames) -> None:
        try:
            async for step in steps:
                frames.send(encode(step))
        except Death:
            frames.close()


def writing(engine: Engine, items: int | None = None, end: str = "") -> Script:
    """Return a script for an engine's items, one in each step.

    After `items` of them the replica dies if `end` is "died", or loses the request if it is "lost".
    """

    async def write(remote: RemoteRequest) -> AsyncIterator[Step]:
        streams = engine.submit_several(remote.request, remote.count)
        yield Step([], [(remote.id, 0.0)], [])
        async for step in _steps(remote.id, [item async for ready in merged(streams) for item in ready][:items]):
            yield step
        if end == "died":
            raise Death
        if end == "lost":
            yield Step([], [], [Failure(remote.id, None, "lost", "the engine was closed")])

    return write


async def _steps(id: int, items: list[tuple[int, Any]]) -> AsyncIterator[Step]:
    for number, item in items:
        assert not isinstance(item, EngineError)
        yield Step([(id, number, item)], [], [])


async def forever(remote: RemoteRequest) -> AsyncIterator[Step]:
    """Send nothing."""
    await asyncio.sleep(3600)
    yield Step([], [], [])


async def begun(remote: RemoteRequest) -> AsyncIterator[Step]:
    """Begin, and send nothing more."""
    yield Step([], [(remote.id, 0.0)], [])
    await asyncio.sleep(3600)


def saying(*chunks: tuple[int, Chunk]) -> Script:
    """Return a script for these chunks, each with the number of its continuation, again and again."""

    async def say(remote: RemoteRequest) -> AsyncIterator[Step]:
        yield Step([], [(remote.id, 0.0)], [])
        for _ in range(1000):
            yield Step([(remote.id, number, chunk) for number, chunk in chunks], [], [])
            await asyncio.sleep(0.001)

    return say
