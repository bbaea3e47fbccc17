"""An engine that Ray Serve runs in a process of its own, on whichever machine."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ray import serve

from server.engine import (
    EngineBusy,
    EngineClosed,
    EngineError,
    Item,
    Observer,
    Request,
    SequenceStats,
    State,
    StepStats,
    Stream,
    merged,
)
from server.observability.logs import configure
from server.opening import open_engine
from server.settings import Settings

ROWS = "rows"
"""What Ray Serve calls the rows that a replica's orders take."""

SPACING = 0.002
"""Seconds between the pieces of an order, for each order under way: several times what a piece costs on its way. So a
step's tokens are sent at once where few are written, and several steps' together where many are."""


@dataclass(frozen=True)
class Order:
    """What is asked of a replica: `count` continuations of a request with a seed, whose prompts are tokens.

    rows: how many of the replica's rows they take. avoid: replicas that could not finish it, by their ids.
    """

    id: str
    request: Request
    count: int
    rows: int
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """What has come of an order, with the number of the continuation. reading: seconds that its prompt took, if known.

    lost: why the replica could not take the order, or not finish it, where another may. replica: its id, then.
    """

    items: list[tuple[int, Item]]
    reading: float = 0.0
    lost: EngineError | None = None
    replica: str = ""


@dataclass(frozen=True)
class Figures:
    """What an engine says of itself; counts are since its start, times in seconds. id: of the replica."""

    id: str
    state: State
    device: str
    precision: str
    steps: int
    seconds: float
    model_seconds: float
    restarts: int
    cache_usage: float
    queue_seconds: float
    cache_queries: int
    cache_hits: int


class Reading(Observer):
    """Observes an engine. all_stats: of the request that was submitted last. Counts are those of `StepStats`."""

    def __init__(self) -> None:
        self.all_stats: list[SequenceStats] = []
        self.cache_queries = self.cache_hits = 0

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """Remembers whose they are; `submit_several` tells before it returns."""
        self.all_stats = all_stats

    def stepped(self, step: StepStats) -> None:
        """Counts tokens."""
        self.cache_queries += step.cache_queries
        self.cache_hits += step.cache_hits


class Replica:
    """What Ray Serve makes replicas of. Made once the model is loaded; raises BundleError and EngineError."""

    def __init__(self, settings: Settings) -> None:
        configure(settings.log_level, settings.log_format)
        self._id = serve.get_replica_context().replica_id.unique_id
        self._engine = open_engine(settings)
        self._reading = Reading()
        self._engine.observers.add(self._reading)
        self._orders: dict[str, tuple[Order, list[Stream]]] = {}

    async def write(self, order: Order) -> AsyncIterator[Piece]:
        """What is written of an order, as it comes. To cancel the call frees its rows within a step.

        Raises InvalidRequest.
        """
        try:
            streams = self._engine.submit_several(order.request, order.count)
        except EngineBusy as error:
            yield Piece([], lost=error, replica=self._id)
            return
        stats = self._reading.all_stats[0]
        self._orders[order.id] = order, streams
        try:
            async for items in merged(streams):
                lost = next((item for _, item in items if isinstance(item, EngineClosed)), None)
                if lost is not None:
                    yield Piece([], lost=lost, replica=self._id)
                    return
                yield Piece(items, max(stats.first_token_at - stats.scheduled_at, 0.0))
                await asyncio.sleep(SPACING * len(self._orders))
        finally:
            for stream in streams:
                stream.cancel()
            del self._orders[order.id]

    async def drop(self, id: str, number: int) -> None:
        """Nobody reads one continuation of an order any longer. Replicas that have no such order do nothing."""
        if id in self._orders:
            self._orders[id][1][number].cancel()

    async def figures(self) -> Figures:
        """How the engine is doing."""
        engine, reading = self._engine, self._reading
        return Figures(
            self._id,
            engine.state,
            engine.device,
            engine.precision,
            engine.steps,
            engine.seconds,
            engine.model_seconds,
            engine.restarts,
            engine.cache_usage,
            engine.queue_seconds,
            reading.cache_queries,
            reading.cache_hits,
        )

    async def check_health(self) -> None:
        """For Ray Serve, which replaces a replica that fails this three times in a row: the engine mends itself before.

        Raises EngineError where the engine cannot write.
        """
        if not self._engine.ready:
            raise EngineError(f"the engine is {self._engine.state}")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For Ray Serve: the rows that are taken, and those that are waited for."""
        return {ROWS: float(sum(order.rows for order, _ in self._orders.values()))}

    def __del__(self) -> None:
        # Ray Serve deletes a replica once its calls have ended, or its time for that is over.
        if hasattr(self, "_engine"):  # which is not so where the model could not be loaded
            self._engine.close()
