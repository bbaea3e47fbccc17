"""A replica: an engine in a process of Ray Serve, on any machine of the cluster."""

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ray import serve

from server.bundle import Bundle
from server.engine import (
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
"""The name of the autoscaling metric: cache rows in use or in the queue."""

SPACING = 0.002
"""Seconds between the outputs of a request, times the requests in progress.

Sending an output costs a fraction of this. Under light load each step's tokens are sent at once, under heavy load those
of several steps together.
"""


@dataclass(frozen=True)
class RemoteRequest:
    """A request for `count` continuations, with a seed, and with token ids as prompts.

    rows: the cache rows they take. block_size: tokens in a block of the engine's prefix cache. avoid: ids of
    replicas to avoid, because they could not finish it.
    """

    id: str
    request: Request
    count: int
    rows: int
    block_size: int
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True)
class RemoteOutput:
    """Items of a request's continuations, each with the number of its continuation.

    prefill_seconds: the request's prefill time, 0 while unknown. lost: the reason why this replica cannot finish the
    request, though another may. replica: its id in that case.
    """

    items: list[tuple[int, Item]]
    prefill_seconds: float = 0.0
    lost: EngineError | None = None
    replica: str = ""


@dataclass(frozen=True)
class ReplicaStats:
    """The state of a replica's engine. Counts are since its start, times in seconds."""

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
    """Observes an engine. all_stats: those of the last request. Counts are sums over `StepStats`."""

    def __init__(self) -> None:
        self.all_stats: list[SequenceStats] = []
        self.cache_queries = self.cache_hits = 0

    def queued(self, all_stats: list[SequenceStats]) -> None:
        """Remember the sequences. `submit_several` calls this before it returns."""
        self.all_stats = all_stats

    def stepped(self, step: StepStats) -> None:
        """Count tokens."""
        self.cache_queries += step.cache_queries
        self.cache_hits += step.cache_hits


class Replica:
    """An engine as a deployment of Ray Serve, with the model loaded. Raises BundleError and EngineError."""

    def __init__(self, settings: Settings) -> None:
        from server.engine import Engine  # not above: the app imports this module, too, and never draws

        configure(settings.log_level, settings.log_format)
        self._id = serve.get_replica_context().replica_id.unique_id
        self._engine = Engine(Bundle.load(settings.model), EngineConfig.of(settings))
        self._observer = PrefillObserver()
        self._engine.observers.add(self._observer)
        self._remotes: dict[str, tuple[RemoteRequest, list[Stream]]] = {}
        gc.freeze()  # as in `plotify serve`: what is here stays

    async def generate(self, remote: RemoteRequest) -> AsyncIterator[RemoteOutput]:
        """Yield the items of a request as they come. Cancelling the call frees its rows within a step.

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
        """Cancel one continuation of a request. Replicas without it do nothing."""
        if id in self._remotes:
            self._remotes[id][1][number].cancel()

    async def stats(self) -> ReplicaStats:
        """Return the state of the engine."""
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
        """Raise EngineError if the engine is not ready.

        Ray Serve replaces a replica after three failures in a row; the engine usually recovers sooner.
        """
        if not self._engine.ready:
            raise EngineError(f"the engine is {self._engine.state}")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the rows in use and in the queue, for Ray Serve's autoscaling."""
        return {ROWS: float(sum(remote.rows for remote, _ in self._remotes.values()))}

    def __del__(self) -> None:
        # Ray Serve deletes a replica when its calls have ended or run out of time.
        if hasattr(self, "_engine"):  # missing if the model could not be loaded
            self._engine.close()
