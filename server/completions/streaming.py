"""Answering with server-sent events, as tokens come: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from collections.abc import AsyncIterator

import msgspec

from server.completions.answer import Answer
from server.completions.errors import error_answer
from server.completions.schema import Completion, ErrorAnswer
from server.engine import EngineError, merged

DONE = b"data: [DONE]\n\n"


async def events(answer: Answer) -> AsyncIterator[bytes]:
    """The events of an answer, in pieces that each hold all that is ready; cancels it in the end.

    A continuation that the engine could not finish ends them all, with an event that says so in place of [DONE].
    """
    usage = None if answer.order.include_usage else msgspec.UNSET
    running = len(answer.continuations)
    try:
        async for taken in merged([continuation.stream for continuation in answer.continuations]):
            piece = bytearray()
            for index, item in taken:
                if isinstance(item, EngineError):
                    yield bytes(piece + event(error_answer(item)))
                    return
                choice = answer.continuations[index].choice(item, index)
                piece += event(answer.completion([choice], usage))
                running -= item.finish_reason is not None
            if not running:
                if answer.order.include_usage:
                    piece += event(answer.completion([], answer.usage))
                piece += DONE
            yield bytes(piece)
    finally:
        answer.cancel()


def event(content: Completion | ErrorAnswer) -> bytes:
    """A chunk, or what ended the stream, as a server-sent event."""
    return b"data: " + msgspec.json.encode(content) + b"\n\n"
