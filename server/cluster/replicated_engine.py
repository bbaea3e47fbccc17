"""Replicas of the engine in other processes, behind the interface of one engine."""

import asyncio
import dataclasses
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from server.bundle import Bundle
from server.cluster.remote_group import RemoteGroup
from server.cluster.replica import RemoteOutput, RemoteRequest, ReplicaStats
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
    from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""Replicas to try for a request before it ends with an error."""

MIN_PAUSE = 0.1
"""Seconds before a request goes to another replica. They double each time."""

LOOK = 0.25
"""Seconds between checks for queued requests without a reader. Each output checks running ones."""

ASK, PATIENCE = 1.0, 5.0
"""Seconds between requests for the replicas' statistics, and the time limit for the answers."""


class ReplicatedEngine(AnyEngine):
    """The engine's interface over replicas on Ray Serve. Belongs to the event loop of `opened`.

    Its queue limit covers all replicas together, so each replica has a longer queue. If a replica is lost, its requests
    go to others, and their readers see a pause. Counts continue when replicas come and go.
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
        self._admission = Admission(self.config, self.tokenizer, self.bundle.manifest.model.context)
        self._lock = threading.Lock()
        self._groups: dict[str, RemoteGroup] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._generated = 0
        self._replica_stats: dict[str, ReplicaStats] = {}
        self._alive: list[ReplicaStats] = []
        self._state: EngineState = "restarting"
        self._draining = self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._cancelling: set[asyncio.Task[None]] = set()

    async def opened(self) -> "ReplicatedEngine":
        """Wait until a replica is ready, and return self."""
        self._loop = asyncio.get_running_loop()
        while self._state != "ready":
            await asyncio.sleep(LOOK)
            await self._ask()
        self._watchers = [asyncio.create_task(_every(ASK, self._ask)), asyncio.create_task(_every(LOOK, self._look))]
        return self

    @property
    def state(self) -> EngineState:
        if self._closed or self._draining:
            return "closed" if self._closed else "draining"
        return self._state

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
        group = RemoteGroup(
            RemoteRequest(uuid.uuid4().hex, fixed, count, count * len(prompts), self.bundle.manifest.engine.block_size),
            all_stats,
        )
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
            self._admission.check_room(
                client, active, group.remote.count, queued_rows, free, self.queue_seconds, self.replicas
            )
            self._groups[group.remote.id] = group

    async def _end(self) -> None:
        tasks = [*self._watchers, *self._tasks.values(), *self._cancelling]
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
            logger.warning("A request goes to another replica: %s", str(lost).partition("\n")[0])
            await asyncio.sleep(pause)
            pause *= 2
            group.restart()
        raise EngineError("its replicas were lost one after another")

    async def _attempt(self, group: RemoteGroup) -> Exception | None:
        """Generate on one replica. Return the error if it is lost, otherwise None. Raises EngineError."""
        answer = cast(
            "DeploymentResponseGenerator[RemoteOutput]", self._handle.options(stream=True).generate.remote(group.remote)
        )
        try:
            async for output in answer:
                if output.lost is not None:
                    group.remote = dataclasses.replace(group.remote, avoid=(*group.remote.avoid, output.replica))
                    return output.lost
                group.take(output, self.observers)
                self._leave(group)
                if not group.running:
                    return None
            return EngineClosed()
        except RayTaskError as error:  # raised in the replica
            raise EngineError(f"the replica failed: {error.cause}") from error
        except (RayError, RayServeException) as error:
            return error
        finally:
            answer.cancel()  # type: ignore[no-untyped-call]

    def _leave(self, group: RemoteGroup) -> None:
        """Cancel continuations without a reader on the replica, as long as others are left."""
        for number in group.remove_cancelled():
            if group.running:
                task = asyncio.create_task(self._cancel(group.remote.id, number))
                self._cancelling.add(task)
                task.add_done_callback(self._cancelling.discard)

    async def _cancel(self, id: str, number: int) -> None:
        with suppress(RayError, RayServeException, TimeoutError):  # then it just runs to its end
            await self._handle.broadcast("cancel", id, number).results_async(timeout_s=PATIENCE, return_exceptions=True)

    async def _look(self) -> None:
        """Cancel the requests without a reader."""
        for id, group in list(self._groups.items()):
            self._leave(group)
            if not group.running and id in self._tasks:
                self._tasks[id].cancel()

    async def _ask(self) -> None:
        """Update the statistics of all replicas."""
        try:
            answers = await self._handle.broadcast("stats").results_async(timeout_s=PATIENCE, return_exceptions=True)
        except TimeoutError:  # one hangs; Ray Serve will replace it
            logger.warning("A replica does not answer")
            return
        except (RayError, RayServeException) as error:
            if self._state == "ready":  # else they start, or the log says so already
                logger.warning("No replica answers: %s", error)
            answers = []
        alive = [answer for answer in answers if isinstance(answer, ReplicaStats)]
        self._state = "ready" if any(stats.state == "ready" for stats in alive) else "restarting"
        if not alive:
            return
        queries, hits = self._total("cache_queries"), self._total("cache_hits")
        self._replica_stats |= {stats.id: stats for stats in alive}
        self._alive = alive
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
