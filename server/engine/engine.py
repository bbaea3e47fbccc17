"""The engine: requests in, streams of tokens out."""

import logging
import math
import threading
import time

from server.bundle import Bundle, BundleError
from server.engine.batch import FIRST_GUESS, Batch
from server.engine.errors import EngineBusy, EngineClosed, EngineError, EngineUnavailable, RowsDiffer
from server.engine.fair_queue import FairQueue
from server.engine.interface import UNAVAILABLE, AnyEngine, EngineState
from server.engine.model.device import choose
from server.engine.model.loading import load_runner
from server.engine.request import Request
from server.engine.sampling.batch_sampler import BatchSampler
from server.engine.sampling.prompt_logprobs import PromptLogprobs
from server.engine.sampling.sampler import Sampler
from server.engine.sequence import CacheRow, Sequence, SequenceGroup
from server.engine.stats import Observers, SequenceStats
from server.engine.stream import Stream, deliver
from server.engine.text.detokenizer import Detokenizer
from server.engine.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MIN_PAUSE, MAX_PAUSE = 1.0, 30.0
"""Seconds between attempts to load a model that cannot be loaded."""


class Engine(AnyEngine):
    """Writes many sequences at once, on one thread that owns the session and the cache.

    bundle: a checked bundle. precision: one that it carries; None for its fastest on the device in which a row does not
    depend on the others there. threads: how many ONNX Runtime computes with on the processor, 0 for one for each
    physical core; tokens are drawn on as many, or on all cores. queue: how many rows may be waited for. rows: how many
    sequences are written at once, a guided one counting twice. kept: how many prompts stay in the cache for those who
    ask again. device: "cpu", "cuda", or "auto" for a GPU where there is one that can run the model; capture: keep
    decodes there as CUDA graphs where the model's operators allow it; `captures` says whether they do. deadline:
    seconds after which a request ends with DeadlineExceeded, waiting included. per_client: sequences that one client
    may have under way, waiting included; 0 for any number.

    Loads the model and runs it, so that the first request is as fast as the others. Raises BundleError for a model that
    cannot be run, DeviceError for a device that cannot run it, RowsDiffer for a precision in which a row depends on the
    others on this processor. Close it, or use it as a context manager. When a step fails, what was being written ends
    with an EngineError, and the model is loaded anew for those who wait.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: str | None = None,
        threads: int = 0,
        queue: int = 64,
        rows: int = 64,
        kept: int = 32,
        device: str = "auto",
        deadline: float = math.inf,
        per_client: int = 0,
        capture: bool = True,
    ) -> None:
        self.bundle = bundle
        self.device, self.precision = choose(bundle, device, precision)
        self.queue, self.rows, self.per_client = queue, rows, per_client
        self.restarts = 0
        self.observers = Observers()
        self.steps, self.seconds = 0, 0.0
        self._deadline = deadline
        self._threads, self._kept, self._capture = threads, kept, capture
        self.tokenizer = Tokenizer(bundle.tokenizer, bundle.manifest.model.context)
        self._queue = FairQueue()
        self._changed = threading.Condition()
        self._closed = self._draining = self._broken = False
        self._generated_before, self._seconds_before = 0, 0.0
        self._batch_sampler = BatchSampler(threads)
        self._batch: Batch | None = self._load_fastest() if precision is None else self._load()
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
            return sum(not group.abandoned for group in self._queue)

    @property
    def queue_seconds(self) -> float:
        with self._changed:
            return self._batch.queue_seconds if self._batch else FIRST_GUESS

    @property
    def cache_usage(self) -> float:
        with self._changed:
            cached = self._batch.scheduler.cached_tokens if self._batch else 0
        return cached / (self.rows * self.bundle.manifest.model.context)

    def submit_several(self, request: Request, count: int) -> list[Stream]:
        sampling, shape = request.sampling, self.bundle.manifest.model
        prompts = self._read(request, count)
        first = self._first_seed(sampling, count)
        limit = min(sampling.max_tokens, shape.context - max(map(len, prompts)))
        wanted = request.prompt_logprobs
        prompt_logprobs = None if wanted is None else PromptLogprobs(prompts[0], wanted, self.tokenizer.size)
        bad_words = [spelling for word in sampling.bad_words for spelling in self.tokenizer.spellings(word)]
        deadline = time.monotonic() + self._deadline
        sequences = [
            Sequence(
                sampling,
                limit,
                shape.end_of_text,
                Sampler(sampling, seed, prompts[0], self.tokenizer.size, shape.end_of_text, bad_words),
                Detokenizer(self.tokenizer.token_bytes),
                SequenceStats(self.observers, request.id, len(prompts[0])),
                prompt_logprobs,
                deadline,
                request.client,
            )
            for seed in range(first, first + count)
        ]
        streams = [
            Stream(sequence.channel, seed, len(prompts[0])) for seed, sequence in enumerate(sequences, start=first)
        ]
        rows = [CacheRow(prompt) for prompt in prompts]
        rows[0].logprobs = prompt_logprobs
        cost = sum(map(len, prompts)) + count * len(prompts) * limit
        all_stats = [sequence.stats for sequence in sequences]
        self.observers.queued(all_stats)
        try:
            self._enqueue(SequenceGroup(rows, sequences, cost))
        except EngineBusy as error:
            self.observers.refused(all_stats, error)
            raise
        return streams

    def drain(self) -> None:
        with self._changed:
            self._draining = True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._batch_sampler.close()

    def _enqueue(self, group: SequenceGroup) -> None:
        with self._changed:
            if self._closed or self._draining or self._broken:
                raise EngineUnavailable(UNAVAILABLE[self.state])
            self._queue.remove_abandoned()
            scheduler = self._batch.scheduler if self._batch else None
            active = self._queue.count(group.client) + (scheduler.count(group.client) if scheduler else 0)
            free = scheduler.free_rows if scheduler else 0
            self._check_room(group.client, active, len(group.sequences), self._queue.rows, free)
            self._queue.append(group)
            self._changed.notify()

    def _load(self) -> Batch:
        rows = self.rows + self._kept
        runner = load_runner(self.bundle, self.device, self.precision, self._threads, rows, self._capture)
        return Batch(runner, self._batch_sampler, self._queue, self.rows, self._kept, self._changed, self.observers)

    def _load_fastest(self) -> Batch:
        """The fastest of the bundle's models in which a row does not depend on the others on this processor."""
        slower = self.bundle.fastest_first(self.device)[1:]
        while True:
            try:
                return self._load()
            except RowsDiffer as differ:
                if not slower:
                    raise
                self.precision = slower.pop(0)
                logger.warning("Writing in %s instead: %s", self.precision, differ)

    def _serve(self) -> None:
        while (batch := self._next_work()) is not None:
            start = time.perf_counter()
            try:
                batch.step()
                self.steps += 1
            except Exception as error:
                logger.exception("A step failed; the model is loaded anew")
                self._retire(batch, EngineError(f"the model failed: {error}"))
            self.seconds += time.perf_counter() - start
            del batch  # whose memory the next one needs
            if self._batch is None:
                self._reload()
        if self._batch is not None:
            self._batch.fail(EngineClosed())
        self._fail_queued(EngineClosed())

    def _next_work(self) -> Batch | None:
        """Waits until there is some; None once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (self._batch and not self._batch.scheduler.idle))
            return None if self._closed else self._batch

    def _retire(self, batch: Batch, error: EngineError) -> None:
        """Ends what was being written; those that wait are for the next session."""
        with self._changed:
            self._generated_before, self._seconds_before = self.generated, self.model_seconds
            self._batch = None
        batch.fail(error)

    def _reload(self) -> None:
        """Loads the model anew, as often as it takes; where once is not enough, nobody waits for it."""
        pause = MIN_PAUSE
        while not self._closed:
            try:
                if Bundle.load(self.bundle.path).manifest != self.bundle.manifest:
                    raise BundleError(f"{self.bundle.path}: another bundle by now; restart the server for it")
                batch = self._load()
            except Exception as error:
                logger.error("The model cannot be loaded; again in %g seconds: %s", pause, error)
                self._broken = True
                self._fail_queued(EngineError("the model failed, and cannot be loaded"))
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
            failed = self._queue.clear()
        for group in failed:
            group.end("failed")
        deliver((sequence.channel, error) for group in failed for sequence in group.sequences)
