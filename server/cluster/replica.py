"""One replica: an engine in a process of Ray Serve, on any machine of the cluster."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ray import serve

from server.bundle import Bundle
from server.engine import (
    Engine,
    EngineBusy,
    EngineClosed,
    EngineConfig,
    EngineError,
    EngineState,
    Item,
    Observer,
    Request,
    SequenceStats,
    StepStats,
    Stream,
    merged,
)
from server.observability.logs import configure
from server.settings import Settings

ROWS = "rows"
"""The name of the autoscaling metric: cache rows in use or waited for."""

SPACING = 0.002
"""Seconds between the outputs of a request, for each request under way: several times what sending one costs. So each
step's tokens are sent at once under light load, and those of several steps together under heavy load."""


@dataclass(frozen=True)
class RemoteRequest:
    """`count` continuations of a request with a seed, whose prompts are token ids, for a replica to generate.

    rows: the cache rows that they take. avoid: ids of replicas that could not finish it.
    """

    id: str
    request: Request
    count: int
    rows: int
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemoteOutput:
    """Items of a request's continuations, each with the number of its continuation.

    prefill_seconds: of the request, 0 while unknown. lost: the reason why this replica cannot finish the request and
    another may; replica: its id in that case.
    """

    items: list[tuple[int, Item]]
    prefill_seconds: float = 0.0
    lost: EngineError | None = None
    replica: str = ""


@dataclass(frozen=True)
class ReplicaStats:
    """The state of a replica's engine; counts are since its start, times in seconds. id: of the replica."""

    id: str
    state: EngineState
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


class PrefillObserver(Observer):
    """Observes an engine. all_stats: of the request that was submitted last. Counts are those of `StepStats`."""

    def __init__(self) -> None:
        self.all_stats: list[SequenceStats] = []
        self.cache_queries = self.cache_hits = 0

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """Remembers the sequences; `submit_several` calls this before it returns."""
        self.all_stats = all_stats

    def stepped(self, step: StepStats) -> None:
        """Counts tokens."""
        self.cache_queries += step.cache_queries
        self.cache_hits += step.cache_hits


class Replica:
    """An engine as a deployment of Ray Serve. Loads its model at once; raises BundleError and EngineError."""

    def __init__(self, settings: Settings) -> None:
        configure(settings.log_level, settings.log_format)
        self._id = serve.get_replica_context().replica_id.unique_id
        self._engine = Engine(Bundle.load(settings.model), EngineConfig.of(settings))
        self._observer = PrefillObserver()
        self._engine.observers.add(self._observer)
        self._remotes: dict[str, tuple[RemoteRequest, list[Stream]]] = {}

    async def generate(self, remote: RemoteRequest) -> AsyncIterator[RemoteOutput]:
        """The items of a request as they come. Cancelling the call frees its rows within a step.

        Raises InvalidRequest.
        """
        try:
            streams = self._engine.submit_several(remote.request, remote.count)
        except EngineBusy as error:
            yield RemoteOutput([], lost=error, replica=self._id)
            return
        stats = self._observer.all_stats[0]
        self._remotes[remote.id] = remote, streams
        try:
            async for items in merged(streams):
                lost = next((item for _, item in items if isinstance(item, EngineClosed)), None)
                if lost is not None:
                    yield RemoteOutput([], lost=lost, replica=self._id)
                    return
                yield RemoteOutput(items, max(stats.first_token_at - stats.scheduled_at, 0.0))
                await asyncio.sleep(SPACING * len(self._remotes))
        finally:
            for stream in streams:
                stream.cancel()
            del self._remotes[remote.id]

    async def cancel(self, id: str, number: int) -> None:
        """Cancels one continuation of a request; does nothing on replicas without it."""
        if id in self._remotes:
            self._remotes[id][1][number].cancel()

    async def stats(self) -> ReplicaStats:
        """The state of the engine."""
        engine, observer = self._engine, self._observer
        return ReplicaStats(
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
            observer.cache_queries,
            observer.cache_hits,
        )

    async def check_health(self) -> None:
        """For Ray Serve, which replaces a replica that fails three times in a row; the engine recovers sooner.

        Raises EngineError for an engine that is not ready.
        """
        if not self._engine.ready:
            raise EngineError(f"the engine is {self._engine.state}")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For Ray Serve's autoscaling: the rows in use, and those waited for."""
        return {ROWS: float(sum(remote.rows for remote, _ in self._remotes.values()))}

    def __del__(self) -> None:
        # Ray Serve deletes a replica once its calls have ended, or their time is over.
        if hasattr(self, "_engine"):  # which is not so where the model could not be loaded
            self._engine.close()
