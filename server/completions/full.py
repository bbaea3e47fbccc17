"""Answers with a completion in one piece."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from server.completions.continuation import Continuation, joined
from server.completions.running import RunningCompletion
from server.completions.schema import Choice, Completion
from server.engine import EngineError

Receive = Callable[[], Awaitable[Any]]


async def full_completion(running: RunningCompletion, receive: Receive) -> Completion | None:
    """The whole completion, or None when its client has left, which ends the work.

    receive: of a connection whose request was read to its end, so that its next message says that it is closed. Raises
    EngineError.
    """
    collecting = asyncio.ensure_future(_collect(running))
    leaving = asyncio.ensure_future(_end(receive))
    try:
        await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return collecting.result() if collecting.done() else None
    finally:
        running.cancel()
        leaving.cancel()
        with suppress(EngineError):
            await collecting


async def _end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _collect(running: RunningCompletion) -> Completion:
    written = list(await asyncio.gather(*map(_read, running.continuations)))
    parsed, given = running.parsed, []
    for first in range(0, len(written), parsed.best_of):
        of_prompt = written[first : first + parsed.best_of]
        if parsed.best_of > parsed.n:
            of_prompt.sort(key=lambda each: each[0], reverse=True)
        given += [choice for _, choice in of_prompt[: parsed.n]]
    for index, choice in enumerate(given):
        choice.index = index
    return running.completion(given, running.usage)


async def _read(continuation: Continuation) -> tuple[float, Choice]:
    """The mean log probability of a continuation, and the choice that it makes."""
    choice = joined([continuation.choice(chunk, 0) async for chunk in continuation.stream])
    return continuation.mean_logprob, choice
