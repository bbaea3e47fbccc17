"""The interface of an engine, in this process or behind replicas in others."""

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

    bundle, tokenizer: of the model. config: its rows, queue and limits are those of each replica. device, precision:
    the ones in use. replicas: the number of engines behind the interface. observers: are told what happens. steps:
    the number of steps, which took `seconds` in all. restarts: how often the model was loaded again.
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
        """ "ready" if it takes requests and can run them, otherwise the reason why not."""

    @property
    def ready(self) -> bool:
        """True if it takes requests and can run them."""
        return self.state == "ready"

    @property
    @abstractmethod
    def generated(self) -> int:
        """The number of tokens generated so far."""

    @property
    @abstractmethod
    def model_seconds(self) -> float:
        """The part of `seconds` in which the session ran."""

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
        """Seconds until the queue of now is empty, if sequences take as long as the last ones did."""

    @property
    @abstractmethod
    def cache_usage(self) -> float:
        """The share of the rows' cache that is in use, from 0 to 1."""

    def submit(self, request: Request) -> Stream:
        """Queues a request and returns at once. From any thread.

        Raises InvalidRequest (PromptTooLong for a prompt that leaves no room for a new token, where one is asked for),
        EngineBusy when the queue is full, and while the engine takes no requests; ClientBusy when a client's share is.
        """
        return self.submit_several(request, 1)[0]

    @abstractmethod
    def submit_several(self, request: Request, count: int) -> list[Stream]:
        """Queues `count` continuations of one request, with one prefill of its prompt. From any thread.

        Their seeds are consecutive, from the request's own on; each gets the text of a request of its own with its
        seed. Raises the errors of `submit`, and InvalidRequest for more continuations than there are rows for.
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
