"""The engine: queues requests, runs them on its own thread, and returns a stream of tokens for each."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from server.bundle import Bundle, BundleError
from server.engine.admission import Admission, choose_seeds
from server.engine.batch import Batch, fail
from server.engine.config import DEFAULT_QUEUE_SECONDS, EngineConfig
from server.engine.errors import EngineBusy, EngineClosed, EngineError, EngineUnavailable, RowsDiffer
from server.engine.fair_queue import FairQueue
from server.engine.interface import AnyEngine, EngineState
from server.engine.model.device import choose_device_and_precision
from server.engine.model.loading import load_runner
from server.engine.model.runner import Runner
from server.engine.request import Request
from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.sequence import SequenceGroup
from server.engine.stats import Observers
from server.engine.stream import Stream
from server.engine.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MIN_PAUSE, MAX_PAUSE = 1.0, 30.0
"""Seconds between attempts to load the model again; the pause doubles after each failure."""


class Engine(AnyEngine):
    """Generates many sequences at once, on one thread. That thread owns the session and the KV cache.

    The constructor loads the model and runs it once, so the first request is as fast as later ones. If a step fails,
    the running sequences end with an EngineError, and the engine loads the model again for the queued ones.

    Attributes:
        captures: True if decodes are kept as CUDA graphs.

    Raises:
        BundleError: the model cannot run.
        DeviceError: the device cannot run the model. RowsDiffer if, in the chosen precision, a row depends on the rows
            beside it on this processor.
    """

    def __init__(self, bundle: Bundle, config: EngineConfig | None = None) -> None:
        self.bundle = bundle
        self.config = config or EngineConfig()
        self.device, self.precision = choose_device_and_precision(bundle, self.config.device, self.config.precision)
        self.tokenizer = Tokenizer(bundle.tokenizer, bundle.manifest.model.context)
        self.observers = Observers()
        self.steps, self.seconds, self.restarts = 0, 0.0, 0
        self._admission = Admission(self.config, self.tokenizer, bundle.manifest.model.context)
        self._queue = FairQueue()
        self._changed = threading.Condition()  # re-entrant; guards queue, batch and flags
        self._closed = self._draining = self._broken = False  # broken: the model cannot be loaded again
        self._generated_before, self._seconds_before = 0, 0.0
        with ThreadPoolExecutor(1) as beside:  # Numba compiles or reads the sampler while ONNX Runtime reads the model
            sampler = beside.submit(BatchSampler, self.config.threads)
            runner = self._load_or_fall_back() if self.config.precision is None else self._load()
            self._sampler = sampler.result()
        self._batch: Batch | None = self._batch_on(runner)
        self.captures = self._batch.runner.captures
        self._thread = threading.Thread(target=self._serve, name="plotify-engine", daemon=True)
        self._thread.start()

    @property
    def state(self) -> EngineState:
        if self._closed or self._draining:
            return "closed" if self._closed else "draining"
        return "restarting" if self._batch is None else "ready"

    @property
    def generated(self) -> int:
        batch = self._batch
        return self._generated_before + (batch.generated if batch else 0)

    @property
    def model_seconds(self) -> float:
        batch = self._batch
        return self._seconds_before + (batch.runner.seconds if batch else 0.0)

    @property
    def running(self) -> int:
        with self._changed:
            return len(self._batch.scheduler.running) if self._batch else 0

    @property
    def queued(self) -> int:
        with self._changed:
            return sum(not group.cancelled for group in self._queue)

    @property
    def arithmetic(self) -> str:
        """That of the runner; empty while the model is loaded again."""
        batch = self._batch
        return batch.runner.arithmetic if batch else ""

    @property
    def queue_seconds(self) -> float:
        with self._changed:
            return self._batch.queue_seconds if self._batch else DEFAULT_QUEUE_SECONDS

    @property
    def cache_usage(self) -> float:
        with self._changed:
            cached = self._batch.scheduler.cached_tokens if self._batch else 0
        return cached / (self.config.rows * self.bundle.manifest.model.context)

    def submit_several(self, request: Request, count: int) -> list[Stream]:
        prompts, seeds = self._admission.encode(request, count), choose_seeds(request.sampling, count)
        resumes = bool(request.drawn_with) and request.drawn_with == self.arithmetic
        groups = SequenceGroup.of(
            request, prompts, seeds, self.config, self.bundle.manifest, self.tokenizer, self.observers, resumes
        )
        sequences = [sequence for group in groups for sequence in group.sequences]
        streams = [Stream(each.channel, seed, len(prompts[0])) for seed, each in zip(seeds, sequences, strict=True)]
        with self.observers.queueing([sequence.stats for sequence in sequences]):
            self._enqueue(groups)
        return streams

    def drain(self) -> None:
        with self._changed:
            self._draining = True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._sampler.close()

    def _enqueue(self, groups: list[SequenceGroup]) -> None:
        """Queue the groups of one request."""
        client, count = groups[0].client, sum(len(group.sequences) for group in groups)
        with self._changed:
            if self._closed or self._draining or self._broken:
                raise EngineUnavailable(self.state)
            try:
                self._check_room(client, self._queue.unfinished(client), count)
            except EngineBusy:  # the readers of some may have left; to look at all for each request would be slow
                self._queue.remove_cancelled()
                scheduler = self._batch.scheduler if self._batch else None
                running = scheduler.count(client) if scheduler else 0
                self._check_room(client, self._queue.count(client) + running, count)
            for group in groups:
                self._queue.append(group)
            self._changed.notify()

    def _check_room(self, client: str, active: int, count: int) -> None:
        """Raise ClientBusy or EngineBusy if there is no room for a client's `count` more sequences.

        active: the number of the client's sequences, queued or running.
        """
        scheduler = self._batch.scheduler if self._batch else None
        self._admission.check_room(
            client,
            active=active,
            count=count,
            queued_rows=self._queue.rows,
            free_rows=scheduler.free_rows if scheduler else 0,
            queue_seconds=self.queue_seconds,
        )

    def _load(self) -> Runner:
        config, rows = self.config, self.config.rows + self.config.kept
        logger.info("Loading %s in the precision %s", self.bundle.manifest.name, self.precision)
        return load_runner(self.bundle, self.device, self.precision, config.threads, rows, config.capture)

    def _batch_on(self, runner: Runner) -> Batch:
        return Batch(runner, self._sampler, self._queue, self.config, self._changed, self.observers)

    def _load_or_fall_back(self) -> Runner:
        """Load the fastest precision in which a row does not depend on the rows beside it on this processor."""
        slower = self.bundle.fastest_first(self.device)[1:]
        while True:
            try:
                return self._load()
            except RowsDiffer as error:
                if not slower:
                    raise
                self.precision = slower.pop(0)
                logger.warning("Using the precision %s instead: %s", self.precision, error)

    def _serve(self) -> None:
        """Run the engine's thread: steps until it is closed, and a new load after a failure."""
        while (batch := self._next_work()) is not None:
            start = time.perf_counter()
            try:
                batch.step()
                self.steps += 1
            except Exception as error:
                logger.exception("A step failed; loading the model again")
                self._retire(batch, EngineError(f"the model failed: {error}"))
            self.seconds += time.perf_counter() - start
            del batch  # free its memory before the next one is loaded
            if self._batch is None:
                self._reload()
        if self._batch is not None:
            self._batch.fail(EngineClosed())
        self._fail_queued(EngineClosed())

    def _next_work(self) -> Batch | None:
        """Wait for work, and return the batch to step. Return None once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._batch and not self._batch.scheduler.idle))
            return None if self._closed else self._batch

    def _retire(self, batch: Batch, error: EngineError) -> None:
        """Drop the batch, and end its running sequences. Queued requests wait for the next batch."""
        with self._changed:
            self._generated_before, self._seconds_before = self.generated, self.model_seconds
            self._batch = None
        batch.fail(error)

    def _reload(self) -> None:
        """Load the model again, and retry until it works. If an attempt fails, end the queued requests."""
        pause = MIN_PAUSE
        while not self._closed:
            try:
                if Bundle.load(self.bundle.path).manifest != self.bundle.manifest:
                    raise BundleError(f"{self.bundle.path}: the bundle has changed; restart the server to use it")
                batch = self._batch_on(self._load())
            except Exception as error:
                logger.error("The model cannot be loaded; retrying in %g seconds: %s", pause, error)
                self._broken = True
                self._fail_queued(EngineError("the model failed and cannot be loaded again"))
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, pause)
                pause = min(2 * pause, MAX_PAUSE)
            else:
                with self._changed:
                    self._batch, self._broken = batch, False
                    self.restarts += 1
                return

    def _fail_queued(self, error: EngineError) -> None:
        with self._changed:
            groups = self._queue.clear()
        fail((sequence for group in groups for sequence in group.sequences), error, self.observers)
