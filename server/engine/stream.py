"""Tokens on their way from the engine's thread to a reader: a thread, or a task on an event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from server.engine.errors import DeadlineExceeded, EngineError
from server.engine.sampling.sampler import TokenLogprobs

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Chunk:
    """Some text, and the tokens that it came from; the last chunk of a stream has a finish_reason.

    finish_reason: "stop" when the model ended the text (the end-of-text token itself is not in `token_ids`) or a stop
    string did, "length" when max_tokens or the context's end was reached, "cancelled" when the reader wanted no more;
    None before the end. logprobs: one for each of `token_ids` where the sampling asks for them, and one more where the
    model ended the text, for the end-of-text token; otherwise none. prompt_logprobs: in a stream's first chunk, one for
    each token of the prompt where the request asks for them, None for the first token, which has none.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()


Item = Chunk | EngineError


class Status(Enum):
    """The state of a sequence. The value of a final one is its reason in metrics, logs and traces."""

    ACTIVE = "active"
    STOPPED = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """True for the end of a sequence."""
        return self is not Status.ACTIVE

    @classmethod
    def after(cls, item: Item) -> "Status":
        """The status of a sequence after this item."""
        if isinstance(item, EngineError):
            return cls.DEADLINE if isinstance(item, DeadlineExceeded) else cls.FAILED
        return cls(item.finish_reason) if item.finish_reason else cls.ACTIVE


class Channel:
    """The items of one sequence on their way to the reader. Safe from any thread.

    status: final once the last item is here, from the engine or from the reader that cancels; no item follows it.
    """

    def __init__(self) -> None:
        self.status = Status.ACTIVE
        self._items: deque[Item] = deque()
        self._filled = threading.Condition()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: Item) -> asyncio.Future[None] | None:
        """Adds an item, unless the last one is here already. Returns the future that the reader awaits."""
        with self._filled:
            if self.status.final:
                return None
            self.status = Status.after(item)
            self._items.append(item)
            self._filled.notify()
            waiter, self._waiter = self._waiter, None
            return waiter

    def abandon(self) -> None:
        """Cancels the sequence when its reader is gone, without a lock: the garbage collector may call it."""
        if not self.status.final:
            self.status = Status.CANCELLED

    def take(self) -> Item | None:
        """The next item, None after the last one. Blocks until there is one."""
        with self._filled:
            self._filled.wait_for(lambda: self._items or self.status.final)
            return self._items.popleft() if self._items else None

    async def take_async(self) -> Item | None:
        """The next item, None after the last one. Waits for one without blocking the event loop."""
        while True:
            with self._filled:
                if self._items:
                    return self._items.popleft()
                if self.status.final:
                    return None
                waiter = self._waiter = asyncio.get_running_loop().create_future()
            await waiter


def deliver(items: Iterable[tuple[Channel, Item]]) -> None:
    """Puts each item into its channel, and wakes each event loop once for all of its readers."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Channel, asyncio.Future[None]]]] = {}
    for channel, item in items:
        waiter = channel.put(item)
        if waiter is not None:
            loops.setdefault(waiter.get_loop(), []).append((channel, waiter))
    for loop, woken in loops.items():
        try:
            loop.call_soon_threadsafe(_wake, [waiter for _, waiter in woken])
        except RuntimeError:  # the event loop is closed, and its readers with it
            for channel, _ in woken:
                channel.abandon()


class Stream:
    """One continuation, as it comes. Iterate over it with `for` or with `async for`, in one place.

    Ends after the chunk with a finish_reason; raises EngineError if the engine failed. A stream that is cancelled, or
    to which no reference is left, stops within one decode step.

    seed: of the random numbers; the same request with this seed gives the same text. prompt_tokens: the number of
    tokens of the prompt.
    """

    def __init__(self, channel: Channel, seed: int, prompt_tokens: int) -> None:
        self.seed = seed
        self.prompt_tokens = prompt_tokens
        self._channel = channel

    def cancel(self, reason: FinishReason = "cancelled") -> None:
        """Stops the work. Chunks that are here can still be read, then one with this reason ends the stream."""
        deliver([(self._channel, Chunk("", finish_reason=reason))])

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Chunk:
        item = self._channel.take()
        if item is None:
            raise StopIteration
        return _chunk(item)

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Chunk:
        item = await self._channel.take_async()
        if item is None:
            raise StopAsyncIteration
        return _chunk(item)

    def __del__(self) -> None:
        self._channel.abandon()


async def merged(streams: Sequence[Stream]) -> AsyncIterator[list[tuple[int, Item]]]:
    """The items of several streams, each with the number of its stream.

    Yields all items that are ready at once, until all streams have ended. An error ends its own stream alone. Cancels
    the streams in the end.
    """
    ready: list[tuple[int, Item]] = []
    filled = asyncio.Event()

    async def read(number: int) -> None:
        try:
            async for chunk in streams[number]:
                ready.append((number, chunk))
                filled.set()
        except EngineError as error:
            ready.append((number, error))
            filled.set()

    # A stream that is cancelled ends, and its reader with it.
    readers = [asyncio.create_task(read(number)) for number in range(len(streams))]
    unfinished = len(readers)
    try:
        while unfinished:
            await filled.wait()
            filled.clear()
            taken, ready[:] = list(ready), []
            unfinished -= sum(Status.after(item).final for _, item in taken)
            yield taken
    finally:
        for stream in streams:
            stream.cancel()


def _chunk(item: Item) -> Chunk:
    if isinstance(item, EngineError):
        raise item
    return item


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
