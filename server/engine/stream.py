"""Streams: pass tokens from the engine's thread to readers, either threads or tasks on an event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Literal, TypeVar

from server.engine.errors import DeadlineExceeded, EngineError
from server.engine.sampling.logprobs import TokenLogprobs

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Chunk:
    """Some text and its tokens. The last chunk of a stream has a finish_reason.

    Attributes:
        token_ids: the tokens of `text`, without the end-of-text token.
        finish_reason: "stop" at the end-of-text token or a stop string, "length" at `max_tokens` or the end of the
            context, "cancelled" if the reader cancelled the stream; None before the end.
        logprobs: one for each of `token_ids`, and one for an end-of-text token; empty unless `Sampling.logprobs` is
            set.
        prompt_logprobs: one for each token of the prompt, and None for the first; empty unless it is the first chunk
            and `Request.prompt_logprobs` is set.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()


Item = Chunk | EngineError


class Status(Enum):
    """The state of a sequence. A final state's value is the reason in metrics, logs and traces."""

    ACTIVE = "active"
    STOPPED = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """True if the sequence has ended."""
        return self is not Status.ACTIVE

    @classmethod
    def after(cls, item: Item) -> "Status":
        """Return the status of a sequence after this item."""
        if isinstance(item, EngineError):
            return cls.DEADLINE if isinstance(item, DeadlineExceeded) else cls.FAILED
        return cls(item.finish_reason) if item.finish_reason else cls.ACTIVE


Key = TypeVar("Key", bound=Hashable)

Waiter = asyncio.Future[None] | threading.Event
"""Wakes a reader: a task on an event loop, or a thread."""


class Channel:
    """The items on their way from the engine to the reader of one sequence. Safe from any thread.

    Attributes:
        status: becomes final with the last item, or when the reader cancels. No item follows.
    """

    def __init__(self) -> None:
        self.status = Status.ACTIVE
        self._items: list[Item] = []
        self._lock = threading.Lock()
        self._waiter: Waiter | None = None

    def put(self, item: Item) -> Waiter | None:
        """Add an item, unless the status is final. Return the waiter of the reader, if it waits."""
        with self._lock:
            if self.status.final:
                return None
            self.status = Status.after(item)
            self._items.append(item)
            waiter, self._waiter = self._waiter, None
            return waiter

    def take(self, waiter: Waiter) -> list[Item] | None:
        """Return all items since the last call; None after the last one.

        If the list is empty, `put` returns `waiter` with the next item.
        """
        with self._lock:
            if not self._items:
                self._waiter = waiter
                return None if self.status.final else []
            items, self._items = self._items, []
            return items

    def abandon(self) -> None:
        """Cancel the sequence when its reader is gone. Take no lock: the garbage collector may call this."""
        if not self.status.final:
            self.status = Status.CANCELLED


def deliver(outputs: Iterable[tuple[Channel, Item]]) -> None:
    """Put each item into its channel, and wake each event loop once for all its readers."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Channel, asyncio.Future[None]]]] = {}
    for channel, item in outputs:
        waiter = channel.put(item)
        if isinstance(waiter, threading.Event):
            waiter.set()
        elif waiter is not None:
            loops.setdefault(waiter.get_loop(), []).append((channel, waiter))
    for loop, woken in loops.items():
        try:
            loop.call_soon_threadsafe(_wake, [waiter for _, waiter in woken])
        except RuntimeError:  # the event loop is closed, so its readers are gone
            for channel, _ in woken:
                channel.abandon()


class Stream:
    """Gives the chunks of one continuation as they are generated. Iterate with `for` or `async for`.

    Iterate in one place only. Iteration ends after the chunk with a finish_reason, and raises EngineError if the engine
    failed. The engine stops within one step after you cancel the stream or drop the last reference to it.

    Attributes:
        seed: the seed in use; the same request with this seed gives the same text.
        prompt_tokens: the number of tokens in the prompt.
    """

    def __init__(self, channel: Channel, seed: int, prompt_tokens: int) -> None:
        self.seed = seed
        self.prompt_tokens = prompt_tokens
        self._channel = channel
        self._ready = deque[Item]()
        self._loop: asyncio.AbstractEventLoop | None = None

    def cancel(self, reason: FinishReason = "cancelled") -> None:
        """Stop the generation. Chunks already here can still be read, then one with `reason` ends the stream."""
        deliver([(self._channel, Chunk("", finish_reason=reason))])

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Chunk:
        while not self._ready:
            waiter = threading.Event()
            items = self._channel.take(waiter)
            if items is None:
                raise StopIteration
            if not items:
                waiter.wait()
            self._ready += items
        return _chunk(self._ready.popleft())

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Chunk:
        if not self._ready:
            self._ready += await self.take()
        if not self._ready:
            raise StopAsyncIteration
        return _chunk(self._ready.popleft())

    async def take(self) -> list[Item]:
        """Wait for items, and return all that are ready; none after the last one."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a system call in Python 3.11, so not for each token
        while (items := self._channel.take(waiter := self._loop.create_future())) == []:
            await waiter
        return items or []

    def __del__(self) -> None:
        self._channel.abandon()


class StreamSet(Generic[Key]):
    """Streams that one task on an event loop reads together. Streams may come and go meanwhile.

    Each has a key. On leaving, call `cancel`.
    """

    def __init__(self) -> None:
        self._streams: dict[Key, Stream] = {}
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, key: Key, stream: Stream) -> None:
        """Add a stream. Its items come with its key."""
        self._streams[key] = stream
        if self._waiter is not None:  # the reader waits for the others
            _wake([self._waiter])

    def remove(self, key: Key) -> None:
        """Cancel a stream, if it is there. None of its items comes any more."""
        stream = self._streams.pop(key, None)
        if stream is not None:
            stream.cancel()

    async def take(self) -> list[tuple[Key, Item]]:
        """Wait for items, and return all that are ready. A stream leaves the set with its last item.

        An error ends only its own stream.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._waiter is None or self._waiter.done():
                self._waiter = loop.create_future()
            waiter = self._waiter
            channels = [(key, stream._channel) for key, stream in self._streams.items()]
            ready = [(key, item) for key, channel in channels for item in channel.take(waiter) or ()]
            if ready:
                for key, item in ready:
                    if Status.after(item).final:
                        del self._streams[key]
                return ready
            await waiter

    def cancel(self) -> None:
        """Cancel all streams."""
        for key in list(self._streams):
            self.remove(key)


async def merged(streams: Sequence[Stream]) -> AsyncIterator[list[tuple[int, Item]]]:
    """Yield the items of several streams, each with the index of its stream.

    Each list holds all items ready at the time. An error ends only its own stream. On leaving, cancel all streams.
    """
    if len(streams) == 1:  # most requests want one: this way takes half as long
        [stream] = streams
        try:
            while items := await stream.take():
                yield [(0, item) for item in items]
        finally:
            stream.cancel()
        return
    together = StreamSet[int]()
    for number, stream in enumerate(streams):
        together.add(number, stream)
    try:
        while together:
            yield await together.take()
    finally:
        together.cancel()


def _chunk(item: Item) -> Chunk:
    if isinstance(item, EngineError):
        raise item
    return item


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
