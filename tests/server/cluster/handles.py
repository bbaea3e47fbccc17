"""A handle of Ray Serve's, without Ray: replicas that do what they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

from server.cluster.replica import Figures, Order, Piece
from server.engine import Engine, merged

Script = Callable[[Order], AsyncIterator[Piece]]

FIGURES = Figures("a", "ready", "cpu", "int8", 0, 0.0, 0.0, 0, 0.0, 3.0, 0, 0)


class Answer:
    """A call under way, as Ray Serve gives it."""

    def __init__(self, pieces: AsyncIterator[Piece]) -> None:
        self.cancelled = False
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self._pieces

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Writes by the scripts, one for each call in turn, the last again and again; remembers what was asked."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.orders: list[Order] = []
        self.answers: list[Answer] = []
        self.broadcasts: list[tuple[Any, ...]] = []
        self.figures: list[object] = [FIGURES]
        self.write = SimpleNamespace(remote=self._write)

    def options(self, stream: bool) -> "Handle":
        assert stream
        return self

    def _write(self, order: Order) -> Answer:
        self.orders.append(order)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.answers.append(Answer(script(order)))
        return self.answers[-1]

    def broadcast(self, method: str, *arguments: object) -> Any:
        self.broadcasts.append((method, *arguments))

        async def results(timeout_s: float, return_exceptions: bool) -> list[object]:
            return list(self.figures)

        return SimpleNamespace(results_async=results)


def writing(engine: Engine, pieces: int | None = None, end: Exception | Piece | None = None) -> Script:
    """What an engine writes, a chunk in each piece; after so many pieces the end."""

    async def write(order: Order) -> AsyncIterator[Piece]:
        streams = engine.submit_several(order.request, order.count)
        written = [item async for items in merged(streams) for item in items]
        for item in written[:pieces]:
            yield Piece([item])
        if isinstance(end, Exception):
            raise end
        if end is not None:
            yield end

    return write


async def forever(order: Order) -> AsyncIterator[Piece]:
    """Nothing comes."""
    await asyncio.sleep(3600)
    yield Piece([])


async def begun(order: Order) -> AsyncIterator[Piece]:
    """A replica has it, and nothing more comes."""
    yield Piece([])
    await asyncio.sleep(3600)
