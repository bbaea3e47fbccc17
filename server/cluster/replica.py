"""A replica: an engine in a process of Ray Serve, on any machine of the cluster."""

import asyncio
from dataclasses import dataclass, field

import ray
from ray import serve

from server.bundle import Bundle
from server.cluster.app_channel import AppChannels
from server.engine import EngineConfig, EngineError, EngineState, Observer, StepStats
from server.garbage import collect_less
from server.observability.logs import configure
from server.settings import Settings

ROWS = "rows"
"""The name of the autoscaling metric: cache rows in use or in the queue."""

LOOK = 0.05
"""Seconds between looks for unfinished requests while the replica stops."""


@dataclass(frozen=True)
class ReplicaStats:
    """The state of a replica's engine, and the way to it. Counts are since its start, times in seconds.

    address, key: what an app needs for a channel. rows: the cache rows in use or in the queue, by the names of apps.
    arithmetic: see `Runner`.
    """

    id: str
    address: tuple[str, int]
    key: bytes = field(repr=False)
    rows: dict[str, int]
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
    arithmetic: str


class CacheObserver(Observer):
    """Observes an engine. Counts are sums over `StepStats`."""

    def __init__(self) -> None:
        self.queries = self.hits = 0

    def stepped(self, step: StepStats) -> None:
        """Count tokens."""
        self.queries += step.cache_queries
        self.hits += step.cache_hits


class Replica:
    """An engine as a deployment of Ray Serve, with the model loaded. Raises BundleError and EngineError.

    Apps find it through Ray Serve, which also checks its health. Their requests come on channels.
    """

    # Ray Serve awaits it.
    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]
        from server.engine import Engine  # not above: the app imports this module, too, and never draws

        configure(settings.log_level, settings.log_format)
        self._id = serve.get_replica_context().replica_id.unique_id
        self._engine = Engine(Bundle.load(settings.model), EngineConfig.of(settings))
        self._cache = CacheObserver()
        self._engine.observers.add(self._cache)
        host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._channels = await AppChannels(self._engine).listen(host)
        collect_less()

    async def stats(self) -> ReplicaStats:
        """Return the state of the engine, and the way to it."""
        engine, channels = self._engine, self._channels
        return ReplicaStats(
            self._id,
            channels.address,
            channels.key,
            channels.rows,
            engine.state,
            engine.device,
            engine.precision,
            engine.steps,
            engine.seconds,
            engine.model_seconds,
            engine.restarts,
            engine.cache_usage,
            engine.queue_seconds,
            self._cache.queries,
            self._cache.hits,
            engine.arithmetic,
        )

    async def check_health(self) -> None:
        """Raise EngineError if the engine is not ready.

        Ray Serve replaces a replica after three failures in a row; the engine usually recovers sooner.
        """
        if not self._engine.ready:
            raise EngineError(f"the engine is {self._engine.state}")

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the rows in use and in the queue, for Ray Serve's autoscaling."""
        return {ROWS: float(sum(self._channels.rows.values()))}

    async def __del__(self) -> None:
        # Ray Serve awaits it when it stops a replica, and kills the process when the grace is over.
        self._engine.drain()
        while self._channels.rows:
            await asyncio.sleep(LOOK)
        self._channels.close()
        await asyncio.to_thread(self._engine.close)
