"""The interface of an engine, either in this process or as replicas in others."""

from abc import abstractmethod
from typing import Literal, Protocol, Self

from server.bundle import Bundle
from server.engine.config import EngineConfig
from server.engine.request import Request
from server.engine.stats import Observers
from server.engine.stream import Stream
from server.engine.text.tokenizer import Tokenizer

EngineState = Literal["ready", "restarting", "draining", "closed"]


class AnyEngine(Protocol):
    """Generates many sequences at once. Close it, or use it as a context manager.

    Attributes:
        bundle: the model's bundle.
        tokenizer: the model's tokenizer.
        config: rows, queue and limits, for each replica.
        device: the device in use.
        precision: the precision in use.
        replicas: the number of engines behind the interface.
        observers: receive the statistics of requests and steps.
        steps: the number of steps so far.
        seconds: the time of these steps.
        restarts: the number of times the model was loaded again.
    """

    bundle: Bundle
    tokenizer: Tokenizer
    config: EngineConfig
    device: str
    precision: str
    replicas: int = 1
    observers: Observers
    steps: int
    seconds: float
    restarts: int

    @property
    @abstractmethod
    def state(self) -> EngineState:
        """ "ready" if the engine takes requests and can run them, otherwise the reason why not."""

    @property
    def ready(self) -> bool:
        """True if the engine takes requests and can run them."""
        return self.state == "ready"

    @property
    @abstractmethod
    def generated(self) -> int:
        """The number of tokens generated so far."""

    @property
    @abstractmethod
    def model_seconds(self) -> float:
        """The part of `seconds` spent in ONNX Runtime."""

    @property
    @abstractmethod
    def running(self) -> int:
        """The number of sequences in prefill and decode."""

    @property
    @abstractmethod
    def queued(self) -> int:
        """The number of requests in the queue."""

    @property
    @abstractmethod
    def queue_seconds(self) -> float:
        """The estimated seconds until the present queue is empty, from the duration of recent sequences."""

    @property
    @abstractmethod
    def cache_usage(self) -> float:
        """The share of the rows' KV cache in use, from 0 to 1."""

    def submit(self, request: Request) -> Stream:
        """Queue a request and return its stream at once. Safe from any thread.

        Raises:
            InvalidRequest: the engine can never serve the request. PromptTooLong if the prompt and, unless `max_tokens`
                is 0, one new token do not fit into the context.
            EngineBusy: the queue is full, or the engine takes no requests. ClientBusy if the client already has as
                many sequences as one client may have.
        """
        return self.submit_several(request, 1)[0]

    @abstractmethod
    def submit_several(self, request: Request, count: int) -> list[Stream]:
        """Queue `count` continuations of one request; they share one prefill. Safe from any thread.

        Their seeds are consecutive and start at the request's own. Each text is the same as that of a separate request
        with its seed.

        Raises:
            InvalidRequest: `count` continuations need more rows than the engine has.
            EngineBusy: see `submit`.
        """

    @abstractmethod
    def drain(self) -> None:
        """Refuse new requests from now on, and finish the present ones."""

    @abstractmethod
    def close(self) -> None:
        """Stop within one step. Unfinished streams raise EngineError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
