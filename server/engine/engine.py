"""The engine: requests in, streams of tokens out."""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Sequence as Tokens
from typing import Self

from server.bundle import Bundle, BundleError
from server.engine.detokenizer import Detokenizer, token_bytes
from server.engine.errors import EngineBusy, EngineError, InvalidRequest, PromptTooLong
from server.engine.runner import Runner
from server.engine.sampler import Sampler
from server.engine.sampling import Request
from server.engine.sequence import Sequence
from server.engine.stream import Stream

logger = logging.getLogger(__name__)

LARGEST_DRAWN_SEED = 999_999
"""Seeds that the engine draws have at most six digits, so that a person can note one down."""


class Engine:
    """Serves requests one after another, on one thread that owns the session.

    bundle: a checked bundle. precision: one that it carries. threads: how many ONNX Runtime computes with, 0 for one
    for each physical core. queue: how many requests may wait while one is running.

    Loads the model and runs it once, so that the first request is as fast as the others. Raises BundleError for a model
    that cannot be run. Close it, or use it as a context manager.
    """

    def __init__(self, bundle: Bundle, precision: str = "fp32", threads: int = 0, queue: int = 64) -> None:
        self.bundle = bundle
        self.queue = queue
        self.steps = 0
        self._pieces = token_bytes(bundle.tokenizer)
        self._runner = Runner(bundle, precision, threads)
        try:
            self._runner.prefill([bundle.manifest.model.end_of_text])
            self._runner.decode(bundle.manifest.model.end_of_text)
        except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
            raise BundleError(
                f"{bundle.model_file(precision)}: does not run as bundle.json describes it "
                f"({' '.join(str(error).split())}); export the checkpoint again"
            ) from error
        self._waiting: deque[Sequence] = deque()
        self._running: Sequence | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="plotify-engine", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """How many sequences are being written."""
        return int(self._running is not None)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        with self._changed:
            return sum(not sequence.channel.cancelled for sequence in self._waiting)

    def submit(self, request: Request) -> Stream:
        """Queues a request and returns at once. From any thread.

        Raises InvalidRequest (PromptTooLong for a prompt of more than context - 1 tokens), EngineBusy when the queue is
        full, EngineError when the engine is closed.
        """
        shape, sampling = self.bundle.manifest.model, request.sampling
        prompt = self._encode(request.prompt)
        against = self._encode(request.against) if request.against and sampling.guidance > 1 else []
        seed = secrets.randbelow(LARGEST_DRAWN_SEED + 1) if sampling.seed is None else sampling.seed
        sequence = Sequence(
            prompt,
            against,
            sampling.guidance,
            limit=min(sampling.max_tokens, shape.context - max(len(prompt), len(against))),
            end_of_text=shape.end_of_text,
            sampler=Sampler(sampling, seed, prompt, len(self._pieces)),
            detokenizer=Detokenizer(self._pieces),
        )
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            if len(self._waiting) >= self.queue:
                self._waiting = deque(waiting for waiting in self._waiting if not waiting.channel.cancelled)
            if len(self._waiting) >= self.queue:
                raise EngineBusy(f"{len(self._waiting)} requests are waiting already; try again in a moment")
            self._waiting.append(sequence)
            self._changed.notify()
        return Stream(sequence.channel, seed, len(prompt))

    def close(self) -> None:
        """Stops within one step; streams that have not ended raise EngineError."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _encode(self, given: str | Tokens[int]) -> list[int]:
        shape = self.bundle.manifest.model
        if isinstance(given, str):
            try:
                prompt = list(self.bundle.tokenizer.encode(given, add_special_tokens=False).ids)
            except TypeError as error:
                raise InvalidRequest("the prompt is not Unicode text: it holds half a surrogate pair") from error
        else:
            prompt = list(given)
        if not prompt:
            raise InvalidRequest("the prompt is empty; give it at least one token")
        if len(prompt) > shape.context - 1:
            raise PromptTooLong(len(prompt), shape.context - 1)
        if not 0 <= min(prompt) <= max(prompt) < len(self._pieces):
            raise InvalidRequest(f"a token id of the prompt lies outside the vocabulary (0 to {len(self._pieces) - 1})")
        return prompt

    def _serve(self) -> None:
        while (sequence := self._next()) is not None:
            try:
                self._write(sequence)
            except Exception as error:
                logger.exception("A request failed; the engine goes on with the next one")
                sequence.channel.put(EngineError(f"the model failed: {error}"))
        for sequence in [*([self._running] if self._running else []), *self._waiting]:
            sequence.channel.put(EngineError("the engine was closed"))
        self._waiting.clear()
        self._running = None

    def _next(self) -> Sequence | None:
        """Waits for the next sequence whose reader is still there; None once the engine is closed."""
        with self._changed:
            if self._closed:
                return None
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _write(self, sequence: Sequence) -> None:
        """Prefill, then decode until the sequence has ended, its reader has left or the engine is closed."""
        if sequence.channel.cancelled:
            return
        logits = self._runner.prefill(sequence.prompt, sequence.against, sequence.guidance)
        self.steps += 1
        while not (sequence.channel.cancelled or self._closed):
            token = sequence.sampler.draw(logits)
            if sequence.append(token) is not None:
                return
            logits = self._runner.decode(token)
            self.steps += 1
