"""Answering in one piece."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from server.completions.answer import Answer
from server.completions.continuation import Continuation, joined
from server.completions.schema import Choice, Completion
from server.engine import EngineError

Receive = Callable[[], Awaitable[Any]]


async def whole(answer: Answer, receive: Receive) -> Completion | None:
    """The answer, once all of it is written; None when its client has left, which ends the work.

    receive: the connection's, whose request was read whole: what comes next is that it ends. Raises EngineError.
    """
    collecting = asyncio.ensure_future(_collect(answer))
    leaving = asyncio.ensure_future(_end(receive))
    try:
        await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return collecting.result() if collecting.done() else None
    finally:
        answer.cancel()
        leaving.cancel()
        with suppress(EngineError):
            await collecting


async def _end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _collect(answer: Answer) -> Completion:
    written = list(await asyncio.gather(*map(_read, answer.continuations)))
    order, given = answer.order, []
    for first in range(0, len(written), order.best_of):
        of_prompt = written[first : first + order.best_of]
        if order.best_of > order.n:
            of_prompt.sort(key=lambda each: each[0], reverse=True)
        given += [choice for _, choice in of_prompt[: order.n]]
    for index, choice in enumerate(given):
        choice.index = index
    return answer.completion(given, answer.usage)


async def _read(continuation: Continuation) -> tuple[float, Choice]:
    """How good it is, and what it is."""
    choice = joined([continuation.choice(chunk, 0) async for chunk in continuation.stream])
    return continuation.mean_logprob, choice
