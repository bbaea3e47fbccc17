"""A fake handle of Ray Serve, with scripted replicas."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from server.cluster.replica import RemoteOutput, RemoteRequest, ReplicaStats
from server.engine import Engine, merged

Script = Callable[[RemoteRequest], AsyncIterator[RemoteOutput]]

STATS = ReplicaStats("a", "ready", "cpu", "int8", 0, 0.0, 0.0, 0, 0.0, 3.0, 0, 0)


class Answer:
    """A call in progress, like Ray Serve's."""

    def __init__(self, outputs: AsyncIterator[RemoteOutput]) -> None:
        self.cancelled = False
        self._outputs = outputs

    def __aiter__(self) -> AsyncIterator[RemoteOutput]:
        return self._outputs

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Runs one script for each call, the last one again and again, and records the requests."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.remotes: list[RemoteRequest] = []
        self.answers: list[Answer] = []
        self.broadcasts: list[tuple[Any, ...]] = []
        self.stats: list[object] = [STATS]
        self.generate = SimpleNamespace(remote=self._generate)

    def options(self, stream: bool) -> "Handle":
        assert stream
        return self

    def _generate(self, remote: RemoteRequest) -> Answer:
        self.remotes.append(remote)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.answers.append(Answer(script(remote)))
        return self.answers[-1]

    def broadcast(self, method: str, *arguments: object) -> Any:
        self.broadcasts.append((method, *arguments))

        async def results(timeout_s: float, return_exceptions: bool) -> list[object]:
            return list(self.stats)

        return SimpleNamespace(results_async=results)


def writing(engine: Engine, outputs: int | None = None, end: Exception | RemoteOutput | None = None) -> Script:
    """Return a script for an engine's items, one in each output. After `outputs` of them comes `end`."""

    async def write(remote: RemoteRequest) -> AsyncIterator[RemoteOutput]:
        streams = engine.submit_several(remote.request, remote.count)
        written = [item async for items in merged(streams) for item in items]
        for item in written[:outputs]:
            yield RemoteOutput([item])
        if isinstance(end, Exception):
            raise end
        if end is not None:
            yield end

    return write


async def forever(remote: RemoteRequest) -> AsyncIterator[RemoteOutput]:
    """Yield nothing."""
    await asyncio.sleep(3600)
    yield RemoteOutput([])


async def begun(remote: RemoteRequest) -> AsyncIterator[RemoteOutput]:
    """Yield an empty output, then nothing."""
    yield RemoteOutput([])
    await asyncio.sleep(3600)
