"""Replicas of the engine in other processes, behind the interface of one engine."""

import asyncio
import dataclasses
import itertools
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from server.bundle import Bundle
from server.cluster.messages import RemoteRequest
from server.cluster.remote_group import RemoteGroup
from server.cluster.replica import ReplicaStats
from server.cluster.replica_channel import ReplicaChannel
from server.cluster.router import Router
from server.engine import (
    DEFAULT_QUEUE_SECONDS,
    Admission,
    AnyEngine,
    DeadlineExceeded,
    EngineClosed,
    EngineConfig,
    EngineError,
    EngineState,
    EngineUnavailable,
    Observers,
    Request,
    SequenceStats,
    StepStats,
    Stream,
    Tokenizer,
    choose_seeds,
)
from server.settings import Settings

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""Replicas to try for a request before it ends with an error."""

MIN_PAUSE = 0.1
"""Seconds before a request goes to another replica. They double each time."""

LOOK = 0.25
"""Seconds between looks for queued requests without a reader, and for a replica if there is none."""

ASK, PATIENCE = 1.0, 5.0
"""Seconds between requests for the replicas' statistics, and the time limit for the answers."""


class ReplicatedEngine(AnyEngine):
    """The engine's interface over replicas on Ray Serve. Belongs to the event loop of `opened`.

    It has a channel to each replica. Its queue limit covers all replicas together, so each replica has a longer queue.
    If a replica is lost, its requests go to others, and their readers see a pause. Counts continue when replicas come
    and go.
    """

    def __init__(self, handle: "DeploymentHandle[Any]", settings: Settings) -> None:
        self.bundle = Bundle.load(settings.model)
        self.tokenizer = Tokenizer(self.bundle.tokenizer, self.bundle.manifest.model.context)
        self.device: str = settings.device
        self.precision: str = settings.precision
        self.config = EngineConfig.of(settings)
        self.replicas = settings.replicas
        self.observers = Observers()
        self.steps, self.seconds, self.restarts = 0, 0.0, 0
        self._handle = handle
        self._name = uuid.uuid4().hex  # of this app
        self._admission = Admission(self.config, self.tokenizer, self.bundle.manifest.model.context)
        self._router = Router(self.bundle.manifest.engine.block_size)
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._groups: dict[int, RemoteGroup] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._channels: dict[str, ReplicaChannel] = {}
        self._generated = 0
        self._replica_stats: dict[str, ReplicaStats] = {}
        self._alive: list[ReplicaStats] = []
        self._draining = self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: set[asyncio.Task[None]] = set()

    async def opened(self) -> "ReplicatedEngine":
        """Wait until a replica is ready, and return self."""
        self._loop = asyncio.get_running_loop()
        while not self.ready:
            await asyncio.sleep(LOOK)
            await self._ask()
        self._watch(_every(ASK, self._ask))
        self._watch(_every(LOOK, self._look))
        return self

    @property
    def state(self) -> EngineState:
        if self._closed or self._draining:
            return "closed" if self._closed else "draining"
        return "ready" if any(stats.state == "ready" for stats in self._reachable) else "restarting"

    @property
    def generated(self) -> int:
        with self._lock:
            return self._generated + sum(group.generated for group in self._groups.values())

    @property
    def model_seconds(self) -> float:
        return float(self._total("model_seconds"))

    @property
    def running(self) -> int:
        with self._lock:
            return sum(group.running for group in self._groups.values() if group.begun)

    @property
    def queued(self) -> int:
        with self._lock:
            return sum(group.wanted > 0 for group in self._groups.values() if not group.begun)

    @property
    def queue_seconds(self) -> float:
        return min((stats.queue_seconds for stats in self._alive), default=DEFAULT_QUEUE_SECONDS)

    @property
    def cache_usage(self) -> float:
        return sum(stats.cache_usage for stats in self._alive) / max(len(self._alive), 1)

    def submit_several(self, request: Request, count: int) -> list[Stream]:
        prompts, seeds = self._admission.encode(request, count), choose_seeds(request.sampling, count)
        prompt_tokens = len(prompts[0])
        # With token ids and a seed, the request gives the same text on every replica.
        fixed = dataclasses.replace(
            request,
            prompt=prompts[0],
            against=prompts[1] if len(prompts) > 1 else None,
            sampling=dataclasses.replace(request.sampling, seed=seeds[0]),
        )
        all_stats = [SequenceStats(self.observers, request.id, prompt_tokens) for _ in seeds]
        group = RemoteGroup(RemoteRequest(next(self._ids), fixed, count, count * len(prompts)), all_stats)
        streams = [Stream(channel, seed, prompt_tokens) for seed, channel in zip(seeds, group.channels, strict=True)]
        with self.observers.queueing(all_stats):
            self._admit(group)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._begin, group)
        return streams

    def drain(self) -> None:
        self._draining = True

    def close(self) -> None:
        """End all requests. Do not call it from the engine's own event loop."""
        self._closed = True
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()

    def _admit(self, group: RemoteGroup) -> None:
        with self._lock:
            if (state := self.state) != "ready":
                raise EngineUnavailable(state)
            groups, client = self._groups.values(), group.remote.request.client
            active = sum(each.wanted for each in groups if each.remote.request.client == client)
            queued_rows: Counter[str] = Counter()
            for each in groups:
                if not each.begun and each.wanted:
                    queued_rows[each.remote.request.client] += each.remote.rows
            taken = sum(each.remote.rows for each in groups if each.begun)
            free = max(self.config.rows * self.replicas - taken, 0)  # a lost replica's rows still count
            free -= sum(map(self._others, self._alive))
            self._admission.check_room(
                client, active, group.remote.count, queued_rows, free, self.queue_seconds, self.replicas
            )
            self._groups[group.remote.id] = group

    @property
    def _reachable(self) -> list[ReplicaStats]:
        """The replicas that Ray Serve knows and that have a channel."""
        return [stats for stats in self._alive if stats.id in self._channels]

    def _others(self, stats: ReplicaStats) -> int:
        """Return the rows of other apps in use or in the queue of a replica, as of a second ago."""
        return sum(rows for app, rows in stats.rows.items() if app != self._name)

    def _watch(self, watching: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine until the engine is closed."""
        task = asyncio.create_task(watching)
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)
        return task

    async def _end(self) -> None:
        tasks = [*self._watchers, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, group: RemoteGroup) -> None:
        task = self._tasks[group.remote.id] = asyncio.create_task(self._run(group))
        task.add_done_callback(lambda _: self._forget(group))

    def _forget(self, group: RemoteGroup) -> None:
        with self._lock:
            del self._groups[group.remote.id], self._tasks[group.remote.id]
            self._generated += group.generated

    async def _run(self, group: RemoteGroup) -> None:
        try:
            if self._closed:
                raise EngineClosed
            async with asyncio.timeout(self.config.deadline):
                await self._generate(group)
        except TimeoutError:
            group.fail(DeadlineExceeded(), self.observers)
        except EngineError as error:
            group.fail(error, self.observers)
        except asyncio.CancelledError:
            group.remove_cancelled()
            group.fail(EngineClosed(), self.observers)
        except Exception as error:
            logger.exception("A request failed")
            group.fail(EngineError(f"the request failed: {error}"), self.observers)

    async def _generate(self, group: RemoteGroup) -> None:
        """Generate on a replica, and on another one if it is lost. Raises EngineError."""
        pause = MIN_PAUSE
        for _ in range(ATTEMPTS):
            lost = await self._attempt(group)
            if lost is None:
                return
            logger.warning("A request goes to another replica: %s", lost)
            await asyncio.sleep(pause)
            pause *= 2
        raise EngineError("its replicas were lost one after another")

    async def _attempt(self, group: RemoteGroup) -> str | None:
        """Generate on one replica. Return the reason if it is lost, otherwise None. Raises EngineError."""
        while not (reachable := self._reachable):
            await asyncio.sleep(LOOK)
        rows = {stats.id: self._channels[stats.id].rows + self._others(stats) for stats in reachable}
        replica = self._router.choose(group.remote.request, rows, group.avoid)
        (arithmetic,) = (stats.arithmetic for stats in reachable if stats.id == replica)
        lost = await self._channels[replica].generate(group)
        if lost is not None:
            group.avoid.add(replica)
            group.restart(arithmetic)
        return lost

    async def _look(self) -> None:
        """Cancel the requests without a reader."""
        for id, group in list(self._groups.items()):
            if not group.wanted and id in self._tasks:
                group.remove_cancelled()
                self._tasks[id].cancel()

    async def _connect(self, stats: ReplicaStats) -> None:
        """Open a channel to a replica."""
        try:
            channel = await ReplicaChannel.connect(stats.address, stats.key, self._name, self.observers)
        except OSError as error:  # it has ended, or the next attempt may work
            logger.warning("There is no way to the replica %s: %s", stats.id, error)
            return
        self._channels[stats.id] = channel
        self._watch(channel.run()).add_done_callback(lambda _: self._channels.pop(stats.id))

    async def _ask(self) -> None:
        """Update the statistics of all replicas."""
        try:
            answers = await self._handle.broadcast("stats").results_async(timeout_s=PATIENCE, return_exceptions=True)
        except TimeoutError:  # one hangs; Ray Serve will replace it
            logger.warning("A replica does not answer")
            return
        except (RayError, RayServeException) as error:
            if self.ready:  # else they start, or the log says so already
                logger.warning("No replica answers: %s", error)
            answers = []
        alive = [answer for answer in answers if isinstance(answer, ReplicaStats)]
        await asyncio.gather(*(self._connect(stats) for stats in alive if stats.id not in self._channels))
        self._alive = alive
        if not alive:
            return
        queries, hits = self._total("cache_queries"), self._total("cache_hits")
        self._replica_stats |= {stats.id: stats for stats in alive}
        self.replicas = len(alive)
        self.device, self.precision = alive[0].device, alive[0].precision
        self.steps, self.seconds, self.restarts = map(self._total, ("steps", "seconds", "restarts"))
        read = StepStats(
            cache_queries=self._total("cache_queries") - queries, cache_hits=self._total("cache_hits") - hits
        )
        if read.cache_queries:
            self.observers.stepped(read)

    def _total(self, name: str) -> Any:
        """Return the sum of a count over all replicas so far, also those that are gone."""
        return sum(getattr(stats, name) for stats in list(self._replica_stats.values()))


async def _every(seconds: float, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await action()
