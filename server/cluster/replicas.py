"""Engines elsewhere, as the one that the app writes with."""

import asyncio
import dataclasses
import logging
import threading
import uuid
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from server.bundle import Bundle
from server.cluster.job import Job
from server.cluster.replica import Figures, Order, Piece
from server.engine import (
    AnyEngine,
    DeadlineExceeded,
    EngineBusy,
    EngineClosed,
    EngineError,
    Request,
    SequenceStats,
    State,
    StepStats,
    Stream,
)
from server.engine.batch import FIRST_GUESS
from server.engine.errors import EngineUnavailable
from server.engine.interface import UNAVAILABLE
from server.engine.stats import Observers
from server.engine.text.tokenizer import Tokenizer
from server.settings import Settings

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

logger = logging.getLogger(__name__)

ATTEMPTS = 5
"""How many replicas may be lost to one request before it ends with an error."""

MIN_PAUSE = 0.1
"""Seconds before a request goes to another replica; twice as many before each further one."""

LOOK = 0.25
"""Seconds between looks at whether somebody left who still waits; who is being written is looked at with each piece."""

ASK, PATIENCE = 1.0, 5.0
"""Seconds between questions how the replicas are doing, and until their answers must be there."""


class Replicas(AnyEngine):
    """The engine's interface over replicas that Ray Serve runs. Belongs to the event loop in which `opened` is awaited.

    It decides who may wait, as an engine does, for all replicas together: each has a queue that holds more. A request
    whose replica is lost goes to another; its readers see a pause. Counts go on where replicas come and go.
    """

    def __init__(self, handle: "DeploymentHandle[Any]", settings: Settings) -> None:
        self.bundle = Bundle.load(settings.model)
        self.tokenizer = Tokenizer(self.bundle.tokenizer, self.bundle.manifest.model.context)
        self.device, self.precision = settings.device, settings.precision
        self.rows, self.queue, self.per_client = settings.rows, settings.queue, settings.per_client
        self.replicas = settings.replicas
        self.observers = Observers()
        self.steps, self.seconds, self.restarts = 0, 0.0, 0
        self._handle = handle
        self._deadline = settings.deadline
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._written = 0
        self._figures: dict[str, Figures] = {}
        self._alive: list[Figures] = []
        self._state: State = "restarting"
        self._draining = self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._dropping: set[asyncio.Task[None]] = set()

    async def opened(self) -> "Replicas":
        """Itself, once it knows of replicas that can write."""
        self._loop = asyncio.get_running_loop()
        while self._state != "ready":
            await asyncio.sleep(LOOK)
            await self._ask()
        self._watchers = [asyncio.create_task(self._watch()), asyncio.create_task(self._look())]
        return self

    @property
    def state(self) -> State:
        if self._closed or self._draining:
            return "closed" if self._closed else "draining"
        return self._state

    @property
    def generated(self) -> int:
        with self._lock:
            return self._written + sum(job.written for job in self._jobs.values())

    @property
    def model_seconds(self) -> float:
        return sum(figures.model_seconds for figures in list(self._figures.values()))

    @property
    def running(self) -> int:
        with self._lock:
            return sum(job.running for job in self._jobs.values() if job.begun)

    @property
    def queued(self) -> int:
        with self._lock:
            return sum(job.wanted > 0 for job in self._jobs.values() if not job.begun)

    @property
    def queue_seconds(self) -> float:
        return min((figures.queue_seconds for figures in self._alive), default=FIRST_GUESS)

    @property
    def cache_usage(self) -> float:
        return sum(figures.cache_usage for figures in self._alive) / max(len(self._alive), 1)

    def submit_several(self, request: Request, count: int) -> list[Stream]:
        prompts = self._read(request, count)
        sampling = request.sampling
        first = self._first_seed(sampling, count)
        # With its seed set, the request is the same one wherever it is written; its tokens are found already.
        fixed = dataclasses.replace(
            request,
            prompt=prompts[0],
            against=prompts[1] if len(prompts) > 1 else None,
            sampling=dataclasses.replace(sampling, seed=first),
        )
        all_stats = [SequenceStats(self.observers, request.id, len(prompts[0])) for _ in range(count)]
        job = Job(Order(uuid.uuid4().hex, fixed, count, count * len(prompts)), all_stats)
        streams = [Stream(channel, seed, len(prompts[0])) for seed, channel in enumerate(job.channels, start=first)]
        self.observers.queued(all_stats)
        try:
            self._admit(job)
        except EngineBusy as error:
            self.observers.refused(all_stats, error)
            raise
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._begin, job)
        return streams

    def drain(self) -> None:
        self._draining = True

    def close(self) -> None:
        """Ends what is under way; not from the event loop that it belongs to."""
        self._closed = True
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()

    def _admit(self, job: Job) -> None:
        with self._lock:
            if (state := self.state) != "ready":
                raise EngineUnavailable(UNAVAILABLE[state])
            jobs, client = self._jobs.values(), job.order.request.client
            under_way = sum(each.wanted for each in jobs if each.order.request.client == client)
            waited_for: Counter[str] = Counter()
            for each in jobs:
                if not each.begun and each.wanted:
                    waited_for[each.order.request.client] += each.order.rows
            taken = sum(each.order.rows for each in jobs if each.begun)
            free = max(self.rows * self.replicas - taken, 0)  # where a replica was lost, more are taken than there are
            self._check_room(client, under_way, job.order.count, waited_for, free)
            self._jobs[job.order.id] = job

    async def _end(self) -> None:
        tasks = [*self._watchers, *self._tasks.values(), *self._dropping]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, job: Job) -> None:
        task = self._tasks[job.order.id] = asyncio.create_task(self._run(job))
        task.add_done_callback(lambda _: self._forget(job))

    def _forget(self, job: Job) -> None:
        with self._lock:
            del self._jobs[job.order.id], self._tasks[job.order.id]
            self._written += job.written

    async def _run(self, job: Job) -> None:
        try:
            if self._closed:
                raise EngineClosed
            async with asyncio.timeout(self._deadline):
                await self._write(job)
        except TimeoutError:
            job.fail(DeadlineExceeded(), "deadline")
        except EngineError as error:
            job.fail(error, "failed")
        except asyncio.CancelledError:
            job.leave()
            job.fail(EngineClosed(), "failed")
        except Exception as error:
            logger.exception("A request failed")
            job.fail(EngineError(f"the request failed: {error}"), "failed")

    async def _write(self, job: Job) -> None:
        """Has it written by a replica, and where that is lost by another. Raises EngineError."""
        pause = MIN_PAUSE
        for _ in range(ATTEMPTS):
            lost = await self._attempt(job)
            if lost is None:
                return
            logger.warning("A request goes to another replica: %s", str(lost).partition("\n")[0])
            await asyncio.sleep(pause)
            pause *= 2
            job.restart()
        raise EngineError("the replicas that wrote it were lost, one after the other")

    async def _attempt(self, job: Job) -> Exception | None:
        """Has it written by one replica; why that was lost, None where it was not. Raises EngineError."""
        answer = cast("DeploymentResponseGenerator[Piece]", self._handle.options(stream=True).write.remote(job.order))
        try:
            async for piece in answer:
                if piece.lost is not None:
                    job.order = dataclasses.replace(job.order, avoid=(*job.order.avoid, piece.replica))
                    return piece.lost
                job.take(piece, self.observers)
                self._leave(job)
                if not job.running:
                    return None
            return EngineClosed()
        except RayTaskError as error:  # what the replica raised
            raise EngineError(f"the replica failed: {error.cause}") from error
        except (RayError, RayServeException) as error:
            return error
        finally:
            answer.cancel()  # type: ignore[no-untyped-call]

    def _leave(self, job: Job) -> None:
        """Has those no longer written that nobody reads, where others of the job are."""
        for number in job.leave():
            if job.running:
                task = asyncio.create_task(self._drop(job.order.id, number))
                self._dropping.add(task)
                task.add_done_callback(self._dropping.discard)

    async def _drop(self, id: str, number: int) -> None:
        with suppress(RayError, RayServeException, TimeoutError):  # then it is written to its end, for nobody
            await self._handle.broadcast("drop", id, number).results_async(timeout_s=PATIENCE, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for id, job in list(self._jobs.items()):
                self._leave(job)
                if not job.running and id in self._tasks:
                    self._tasks[id].cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(ASK)
            await self._ask()

    async def _ask(self) -> None:
        """Asks all replicas how they are doing."""
        try:
            answers = await self._handle.broadcast("figures").results_async(timeout_s=PATIENCE, return_exceptions=True)
        except TimeoutError:  # one hangs, and the others cannot be told from it; Ray Serve will replace it
            logger.warning("A replica does not answer")
            return
        except (RayError, RayServeException) as error:
            logger.warning("No replica answers: %s", error)
            answers = []
        alive = [answer for answer in answers if isinstance(answer, Figures)]
        self._state = "ready" if any(figures.state == "ready" for figures in alive) else "restarting"
        if not alive:
            return
        before = {figures.id: self._figures.get(figures.id) for figures in alive}
        self._figures |= {figures.id: figures for figures in alive}
        self._alive = alive
        self.replicas = len(alive)
        self.device, self.precision = alive[0].device, alive[0].precision
        known = list(self._figures.values())
        self.steps = sum(figures.steps for figures in known)
        self.seconds = sum(figures.seconds for figures in known)
        self.restarts = sum(figures.restarts for figures in known)
        read = StepStats()
        for figures in alive:
            last = before[figures.id]
            read.cache_queries += figures.cache_queries - (last.cache_queries if last else 0)
            read.cache_hits += figures.cache_hits - (last.cache_hits if last else 0)
        if read.cache_queries:
            self.observers.stepped(read)
