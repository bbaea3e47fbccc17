"""The engine: requests in, streams of tokens out."""

import logging
import operator
import secrets
import threading
import time
from collections.abc import Sequence as Tokens
from typing import Self

from server.bundle import Bundle, BundleError
from server.engine.detokenizer import Detokenizer, token_bytes
from server.engine.device import choose
from server.engine.device_runner import DeviceRunner
from server.engine.errors import DeviceError, EngineBusy, EngineError, InvalidRequest, PromptTooLong
from server.engine.runner import Runner
from server.engine.sampler import Sampler
from server.engine.sampling import Request
from server.engine.scheduler import Prefill, Scheduler
from server.engine.scoring import Scores
from server.engine.sequence import Context, Job, Logits, Sequence
from server.engine.stream import Channel, Item, Stream, deliver

logger = logging.getLogger(__name__)

LARGEST_DRAWN_SEED = 999_999
"""Seeds that the engine draws have at most six digits, so that a person can note one down."""


class Engine:
    """Writes many sequences at once, on one thread that owns the session and the cache.

    bundle: a checked bundle. precision: one that it carries; None for its fastest on the device. threads: how many ONNX
    Runtime computes with on the processor, 0 for one for each physical core. queue: how many requests may wait for
    rows. rows: how many sequences are written at once, a guided one counting twice. kept: how many prompts stay in the
    cache for those who ask again. device: "cpu", "cuda", or "auto" for a GPU where there is one that can run the model.

    Loads the model and runs it once, so that the first request is as fast as the others. Raises BundleError for a model
    that cannot be run, DeviceError for a device that cannot run it. Close it, or use it as a context manager.
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
    ) -> None:
        self.bundle = bundle
        self.device, self.precision = choose(bundle, device, precision)
        self.queue = queue
        self.rows = rows
        self.steps = 0
        self.seconds = 0.0
        self.written = 0
        self._pieces = token_bytes(bundle.tokenizer)
        self.vocab_size = len(self._pieces)
        runner = DeviceRunner if self.device == "cuda" else Runner
        self._runner = runner(bundle, self.precision, threads, rows + kept)
        try:
            self._runner.prefill(0, 0, [[bundle.manifest.model.end_of_text]])
            self._runner.decode([bundle.manifest.model.end_of_text], [1])
        except Exception as error:  # onnxruntime's own exceptions have no common base below Exception
            if self.device == "cuda":
                reason = " ".join(str(error).split())
                raise DeviceError(f"the GPU cannot run this model ({reason}); choose the device cpu") from error
            raise BundleError(
                f"{bundle.model_file(self.precision)}: does not run as bundle.json describes it "
                f"({' '.join(str(error).split())}); export the checkpoint again"
            ) from error
        self._scheduler = Scheduler(self._runner.cache, rows, kept)
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="plotify-engine", daemon=True)
        self._thread.start()

    @property
    def model_seconds(self) -> float:
        """How much of `seconds`, the time that all `steps` took, the session ran."""
        return self._runner.seconds

    @property
    def running(self) -> int:
        """How many sequences are being written."""
        with self._changed:
            return self._scheduler.running

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        with self._changed:
            return sum(not job.abandoned for job in self._scheduler.waiting)

    def submit(self, request: Request) -> Stream:
        """Queues a request and returns at once. From any thread.

        Raises InvalidRequest (PromptTooLong for a prompt that leaves no room for a new token, where one is asked for),
        EngineBusy when the queue is full, EngineError when the engine is closed.
        """
        return self.submit_several(request, 1)[0]

    def submit_several(self, request: Request, count: int) -> list[Stream]:
        """So many continuations of one request, whose prompt is read once. From any thread.

        They are drawn with seeds that follow one another, from the request's own on; each is what a request of its own
        with its seed would give. Raises what `submit` raises, and InvalidRequest for more than the engine has rows for.
        """
        sampling, shape = request.sampling, self.bundle.manifest.model
        longest = shape.context - min(sampling.max_tokens, 1)
        prompts = [self._encode(request.prompt, longest)]
        if request.against is not None and sampling.guidance > 1:
            prompts.append(self._encode(request.against, longest))
        most = self.rows // len(prompts)
        if not most:
            raise InvalidRequest("a guided request takes two rows, and this engine has only one; give it more")
        if not 1 <= count <= most:
            raise InvalidRequest(f"{count} continuations at once: this engine writes 1 to {most} of such a request")
        if any(token >= self.vocab_size for token in sampling.logit_bias):
            raise InvalidRequest(f"logit_bias: a token id lies outside the vocabulary (0 to {self.vocab_size - 1})")
        first = secrets.randbelow(LARGEST_DRAWN_SEED + 2 - count) if sampling.seed is None else sampling.seed
        limit = min(sampling.max_tokens, shape.context - max(map(len, prompts)))
        wanted = request.prompt_logprobs
        scores = None if wanted is None else Scores(prompts[0], wanted, self.vocab_size)
        sequences = [
            Sequence(
                sampling,
                limit,
                shape.end_of_text,
                Sampler(sampling, seed, prompts[0], self.vocab_size, shape.end_of_text),
                Detokenizer(self._pieces),
                scores,
            )
            for seed in range(first, first + count)
        ]
        streams = [
            Stream(sequence.channel, seed, len(prompts[0])) for seed, sequence in enumerate(sequences, start=first)
        ]
        contexts = [Context(prompt) for prompt in prompts]
        contexts[0].scores = scores
        self._enqueue(Job(contexts, sequences))
        return streams

    def encode(self, text: str) -> list[int]:
        """The token ids of a text. Raises InvalidRequest for what is not Unicode text."""
        try:
            return list(self.bundle.tokenizer.encode(text, add_special_tokens=False).ids)
        except TypeError as error:
            raise InvalidRequest("the prompt is not Unicode text: it holds half a surrogate pair") from error

    def spell(self, token: int) -> bytes:
        """The bytes that a token stands for; of a special token, which stands for none, its name."""
        return self._pieces[token] or str(self.bundle.tokenizer.id_to_token(token)).encode()

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

    def _encode(self, given: str | Tokens[int], longest: int) -> list[int]:
        if isinstance(given, str):
            prompt = self.encode(given)
        else:
            try:
                prompt = [operator.index(token) for token in given]
            except TypeError as error:
                raise InvalidRequest("the prompt is neither text nor a list of token ids") from error
        if not prompt:
            raise InvalidRequest("the prompt is empty; give it at least one token")
        if len(prompt) > longest:
            raise PromptTooLong(len(prompt), longest)
        if not 0 <= min(prompt) <= max(prompt) < self.vocab_size:
            raise InvalidRequest(f"a token id of the prompt lies outside the vocabulary (0 to {self.vocab_size - 1})")
        return prompt

    def _enqueue(self, job: Job) -> None:
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            waiting = self._scheduler.waiting
            if len(waiting) >= self.queue + self._scheduler.free:
                for abandoned in [other for other in waiting if other.abandoned]:
                    waiting.remove(abandoned)
            if len(waiting) >= self.queue + self._scheduler.free:
                raise EngineBusy(f"{len(waiting)} requests are waiting already; try again in a moment")
            waiting.append(job)
            self._changed.notify()

    def _serve(self) -> None:
        while self._has_work():
            start = time.perf_counter()
            try:
                self._step()
            except Exception as error:
                logger.exception("A step failed; the engine goes on with the requests that wait")
                self._fail(EngineError(f"the model failed: {error}"))
            self.seconds += time.perf_counter() - start
        self._fail(EngineError("the engine was closed"), waiting=True)

    def _has_work(self) -> bool:
        """Waits until there is some; False once the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._scheduler.idle)
            return not self._closed

    def _step(self) -> None:
        """Reads a piece of what arrives and writes a token of each sequence: schedule, run, sample, deliver."""
        with self._changed:
            self._scheduler.release([each for each in self._scheduler.writing if each.channel.cancelled])
            prefill = self._scheduler.next_prefill()
        sent: list[tuple[Channel, Item]] = []
        try:
            if prefill is not None:
                self._read(prefill, sent)
            if self._scheduler.decoding:
                self._write(sent)
            self.steps += 1
        finally:  # a sequence that ended before an error is known to nobody afterwards
            deliver(sent)

    def _read(self, prefill: Prefill, sent: list[tuple[Channel, Item]]) -> None:
        scores = prefill.contexts[0].scores
        if scores is None:
            logits = self._runner.prefill(prefill.row, prefill.start, prefill.pieces)
        else:
            for logits in self._runner.score(prefill.row, prefill.start, prefill.pieces[0]):
                scores.add(logits)
            logits = logits[-1:]
        for context, row in zip(prefill.contexts, logits, strict=True):
            context.logits = row.copy()
        with self._changed:
            arrived = self._scheduler.has_read(prefill)
        for job in arrived:
            prompts = [prompt.logits for prompt in job.prompts if prompt.logits is not None]
            self._extend([(sequence, prompts) for sequence in job.sequences], sent)
            for prompt in job.prompts:
                prompt.logits = prompt.scores = None

    def _write(self, sent: list[tuple[Channel, Item]]) -> None:
        decoding = self._scheduler.decoding
        logits = self._runner.decode(
            [context.tokens[-1] for context in decoding], [context.cached for context in decoding]
        )
        for context in decoding:
            context.cached += 1
        self._extend(
            [
                (sequence, [logits[context.row] for context in sequence.contexts])
                for sequence in self._scheduler.writing
            ],
            sent,
        )

    def _extend(self, drawing: list[tuple[Sequence, list[Logits]]], sent: list[tuple[Channel, Item]]) -> None:
        """Draws a token for each sequence, from the logits of its contexts; those that end give their rows back."""
        for sequence, logits in drawing:
            try:
                chunk = sequence.extend(logits)
            except FloatingPointError as error:
                sequence.finished = True
                sent.append((sequence.channel, EngineError(f"the model failed: {error}")))
                continue
            if chunk is not None:
                self.written += len(chunk.token_ids)
                sent.append((sequence.channel, chunk))
        with self._changed:
            self._scheduler.release([sequence for sequence, _ in drawing if sequence.finished])

    def _fail(self, error: EngineError, waiting: bool = False) -> None:
        """Ends what is being written, and with `waiting` what is to be, with an error."""
        with self._changed:
            failed = self._scheduler.clear()
            if waiting:
                failed += [sequence for job in self._scheduler.waiting for sequence in job.sequences]
                self._scheduler.waiting.clear()
        deliver((sequence.channel, error) for sequence in failed)
