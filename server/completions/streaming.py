"""A completion as server-sent events."""

from collections.abc import AsyncIterator

import msgspec

from server.completions.errors import error_response
from server.completions.running import RunningCompletion
from server.engine import EngineError, merged
from server.http.sse import event

DONE = event(msgspec.Raw(b"[DONE]"))


async def completion_events(running: RunningCompletion) -> AsyncIterator[bytes]:
    """The events of a completion, in pieces that each hold all that is ready. Cancels the completion in the end.

    An engine that fails in one continuation ends the stream, with an event that says so in place of [DONE].
    """
    usage = None if running.parsed.include_usage else msgspec.UNSET
    unfinished = len(running.continuations)
    try:
        async for taken in merged([continuation.stream for continuation in running.continuations]):
            piece = bytearray()
            for index, item in taken:
                if isinstance(item, EngineError):
                    yield bytes(piece + event(error_response(item)))
                    return
                choice = running.continuations[index].choice(item, index)
                piece += event(running.completion([choice], usage))
                unfinished -= item.finish_reason is not None
            if not unfinished:
                if running.parsed.include_usage:
                    piece += event(running.completion([], running.usage))
                piece += DONE
            yield bytes(piece)
    finally:
        running.cancel()
