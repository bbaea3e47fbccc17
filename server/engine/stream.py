"""How tokens travel from the engine's thread to whoever reads them: a thread, or a task on an event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from server.engine.errors import EngineError
from server.engine.sampling.sampler import TokenLogprobs

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Chunk:
    """Some text and the tokens that it came from; the last one of a stream carries the reason why it is the last.

    finish_reason: "stop" when the model ended the text (the end-of-text token itself is not in `token_ids`) or a stop
    string did, "length" when max_tokens or the context's end was reached, "cancelled" when the reader wanted no more;
    None before the end. logprobs: one for each of `token_ids` where the sampling asks for them, and one more where the
    model ended the text, for the end-of-text token; otherwise none. prompt_logprobs: in a stream's first chunk, one for
    each token of the prompt where the request asks for them, None for the first token, which nothing foretells.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()


Item = Chunk | EngineError


class Channel:
    """What is written of one sequence, on its way from the engine to the reader. Safe from any thread.

    cancelled: the reader wants no more; ending: whether because it has enough ("stop").
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.ending: FinishReason = "cancelled"
        self._items: deque[Item] = deque()
        self._filled = threading.Condition()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: Item) -> asyncio.Future[None] | None:
        """Hands an item to the reader; a last chunk or an error is the end. Returns who is to be woken, if anyone."""
        with self._filled:
            self._items.append(item)
            self._filled.notify()
            waiter, self._waiter = self._waiter, None
            return waiter

    def take(self) -> Item:
        """The next item; blocks until there is one."""
        with self._filled:
            self._filled.wait_for(lambda: self._items)
            return self._items.popleft()

    async def take_async(self) -> Item:
        """The next item; waits for one without blocking the event loop."""
        while True:
            with self._filled:
                if self._items:
                    return self._items.popleft()
                waiter = self._waiter = asyncio.get_running_loop().create_future()
            await waiter


def deliver(items: Iterable[tuple[Channel, Item]]) -> None:
    """Hands each channel its item, and wakes each event loop once for all of its readers: waking is what costs."""
    waiters: dict[asyncio.AbstractEventLoop, list[tuple[Channel, asyncio.Future[None]]]] = {}
    for channel, item in items:
        waiter = channel.put(item)
        if waiter is not None:
            waiters.setdefault(waiter.get_loop(), []).append((channel, waiter))
    for loop, waiting in waiters.items():
        try:
            loop.call_soon_threadsafe(_wake, [waiter for _, waiter in waiting])
        except RuntimeError:  # the event loop is closed: nobody is left to read
            for channel, _ in waiting:
                channel.cancelled = True


class Stream:
    """One continuation, as it comes. Iterate over it with `for` or with `async for`, in one place.

    Ends after the chunk that carries a finish_reason; raises EngineError where the engine failed. A stream that is
    cancelled, or that nobody holds any longer, stops within one decode step.

    seed: what the tokens are drawn with; the same request with this seed gives the same text.
    prompt_tokens: how many tokens the prompt has.
    """

    def __init__(self, channel: Channel, seed: int, prompt_tokens: int) -> None:
        self.seed = seed
        self.prompt_tokens = prompt_tokens
        self._channel = channel
        self._ended = False

    def cancel(self, ending: FinishReason = "cancelled") -> None:
        """Stops the work. What was written before can still be read; then the stream ends with that reason."""
        if not self._channel.cancelled:
            self._channel.ending = ending
            self._channel.cancelled = True
            deliver([(self._channel, Chunk("", finish_reason=ending))])

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Chunk:
        if self._ended:
            raise StopIteration
        return self._receive(self._channel.take())

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Chunk:
        if self._ended:
            raise StopAsyncIteration
        return self._receive(await self._channel.take_async())

    def __del__(self) -> None:
        # The flag alone: the garbage collector may call this while the channel's lock is held.
        self._channel.cancelled = True

    def _receive(self, item: Item) -> Chunk:
        if isinstance(item, EngineError):
            self._ended = True
            raise item
        self._ended = item.finish_reason is not None
        return item


async def merged(streams: Sequence[Stream]) -> AsyncIterator[list[tuple[int, Item]]]:
    """What comes of any of them, with the number of the stream: all that is there at once, until all have ended.

    An error is the end of its stream alone. Cancels them in the end.
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
    running = len(readers)
    try:
        while running:
            await filled.wait()
            filled.clear()
            taken, ready[:] = list(ready), []
            running -= sum(isinstance(item, EngineError) or item.finish_reason is not None for _, item in taken)
            yield taken
    finally:
        for stream in streams:
            stream.cancel()


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
