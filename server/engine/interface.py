"""What the app writes with: an engine in this process, or replicas of one in others."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, Self

from server.bundle import Bundle
from server.engine.errors import ClientBusy, EngineBusy, InvalidRequest
from server.engine.request import Request, Sampling
from server.engine.stats import Observers
from server.engine.stream import Stream
from server.engine.text.tokenizer import Tokenizer

EngineState = Literal["ready", "restarting", "draining", "closed"]

UNAVAILABLE: dict[EngineState, str] = {
    "restarting": "the model failed, and is being loaded anew",
    "draining": "the server is about to stop",
    "closed": "the engine is closed",
}

MAX_DRAWN_SEED = 999_999
"""Seeds that the engine draws have at most six digits, so that a person can note one down."""


class AnyEngine(ABC):
    """Writes many sequences at once. Close it, or use it as a context manager.

    bundle: what it writes with. device, precision: where, and by which of the bundle's models. replicas: how many
    engines there are behind it. rows: how many sequences each writes at once, a guided one counting twice. queue: how
    many rows may be waited for at each. per_client: sequences that one client may have under way, waiting included; 0
    for any number. observers: who is told what happens. steps, and the seconds that they took. restarts: how often the
    model was loaded anew.
    """

    bundle: Bundle
    tokenizer: Tokenizer
    device: str
    precision: str
    replicas: int = 1
    rows: int
    queue: int
    per_client: int
    observers: Observers
    steps: int
    seconds: float
    restarts: int

    @property
    @abstractmethod
    def state(self) -> EngineState:
        """Whether it takes requests and can write them, and if not, why."""

    @property
    def ready(self) -> bool:
        """Whether it takes requests and can write them."""
        return self.state == "ready"

    @property
    @abstractmethod
    def generated(self) -> int:
        """How many tokens were written so far."""

    @property
    @abstractmethod
    def model_seconds(self) -> float:
        """How much of `seconds`, the time that all `steps` took, the session ran."""

    @property
    @abstractmethod
    def running(self) -> int:
        """How many sequences are being written."""

    @property
    @abstractmethod
    def queued(self) -> int:
        """How many requests wait for their turn."""

    @property
    @abstractmethod
    def queue_seconds(self) -> float:
        """In how many seconds those that wait now will have begun, if sequences take as long as the last ones did."""

    @property
    @abstractmethod
    def cache_usage(self) -> float:
        """How much of the rows' cache is in use, from 0 to 1."""

    def submit(self, request: Request) -> Stream:
        """Queues a request and returns at once. From any thread.

        Raises InvalidRequest (PromptTooLong for a prompt that leaves no room for a new token, where one is asked for),
        EngineBusy when the queue is full, and while the engine takes no requests; ClientBusy when a client's share is.
        """
        return self.submit_several(request, 1)[0]

    @abstractmethod
    def submit_several(self, request: Request, count: int) -> list[Stream]:
        """So many continuations of one request, whose prompt is read once. From any thread.

        They are drawn with seeds that follow one another, from the request's own on; each is what a request of its own
        with its seed would give. Raises what `submit` raises, and InvalidRequest for more than the engine has rows for.
        """

    @abstractmethod
    def drain(self) -> None:
        """Takes no new requests from now on; those that it has go on to their end."""

    @abstractmethod
    def close(self) -> None:
        """Stops within one step; streams that have not ended raise EngineError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, request: Request, count: int) -> list[list[int]]:
        """The tokens of the prompts of a request, which can be served so many times at once. Raises InvalidRequest."""
        sampling = request.sampling
        longest = self.bundle.manifest.model.context - min(sampling.max_tokens, 1)
        prompts = [self.tokenizer.encode_prompt(request.prompt, longest)]
        if request.against is not None and sampling.guidance > 1:
            prompts.append(self.tokenizer.encode_prompt(request.against, longest))
        most = self.rows // len(prompts)
        if not most:
            raise InvalidRequest("a guided request takes two rows, and this engine has only one; give it more")
        if not 1 <= count <= most:
            raise InvalidRequest(f"{count} continuations at once: this engine writes 1 to {most} of such a request")
        if any(token >= self.tokenizer.size for token in sampling.logit_bias):
            raise InvalidRequest(f"logit_bias: a token id lies outside the vocabulary (0 to {self.tokenizer.size - 1})")
        return prompts

    def _check_room(self, client: str, under_way: int, count: int, waited_for: Mapping[str, int], free: int) -> None:
        """Whether a client with so many sequences under way may have `count` more, and there is room for them to wait.

        waited_for: rows that those will take who wait already, by client. free: rows that nobody has. Rows are what a
        request waits for, and a page takes up to six; but one that needs more than may be waited for is let in where
        one of a row would be, or it never were. Nobody keeps others out: a client of whom nothing waits finds as much
        room again, and of no client more is counted than may be waited for. Raises ClientBusy, EngineBusy.
        """
        if 0 < self.per_client < under_way + count:
            raise ClientBusy(f"you have {under_way} texts under way, and one may have {self.per_client}")
        most = self.queue * self.replicas
        room = most + free
        counted = sum(min(rows, room) for rows in waited_for.values())
        if counted >= room + (0 if client in waited_for else most):
            raise EngineBusy("too many requests are waiting already", self.queue_seconds)

    def _first_seed(self, sampling: Sampling, count: int) -> int:
        """Of so many continuations: the one that is asked for, or a drawn one."""
        return secrets.randbelow(MAX_DRAWN_SEED + 2 - count) if sampling.seed is None else sampling.seed
