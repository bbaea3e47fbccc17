"""A completion in progress, and its response: in one piece, or as server-sent events."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from server.completions.continuation import Continuation, joined
from server.completions.errors import RequestError, error_response
from server.completions.parsed_request import ParsedRequest
from server.completions.schema import Choice, Completion
from server.engine import AnyEngine, EngineError, InvalidRequest, merged
from server.http.sse import ENCODER, client_left, event
from server.writing.usage import Usage

DONE = event(Raw(b"[DONE]"))


class RunningCompletion:
    """Submits all prompts of a request to the engine, or none. Call `cancel` at the end in any case.

    continuations: `ParsedRequest.best_of` of each prompt, in order. Raises RequestError for a prompt that can never be
    served, EngineBusy if there is no room for all prompts.
    """

    def __init__(self, engine: AnyEngine, parsed: ParsedRequest) -> None:
        self.parsed = parsed
        self.continuations: list[Continuation] = []
        self._id = f"cmpl-{random.getrandbits(128):032x}"
        self._created = int(time.time())
        self._model = engine.bundle.manifest.name
        self._prompt_tokens = 0
        try:
            for number, (prompt, request) in enumerate(zip(parsed.prompts, parsed.requests, strict=True)):
                try:
                    streams = engine.submit_several(request, parsed.best_of)
                except InvalidRequest as error:
                    raise RequestError.of_prompt(error, number if len(parsed.requests) > 1 else None) from error
                self._prompt_tokens += streams[0].prompt_tokens
                self.continuations += [
                    Continuation(engine, stream, prompt, parsed.echo, parsed.logprobs) for stream in streams
                ]
        except Exception:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Stop the work. A finished completion stays as it is."""
        for continuation in self.continuations:
            continuation.stream.cancel()

    async def whole(self, receive: Callable[[], Awaitable[Any]]) -> Completion | None:
        """Return the completion in one piece; None if the client leaves, after stopping the work.

        receive: of a request whose body has been read, so its next message is the disconnect. Raises EngineError.
        """
        collecting = asyncio.ensure_future(self._collect())
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return collecting.result() if collecting.done() else None
        finally:
            self.cancel()
            leaving.cancel()
            with suppress(EngineError):
                await collecting

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the completion as events, all that are ready in one piece; at the end, stop the work.

        If the engine fails in one continuation, an event with the error ends the stream in place of [DONE].
        """
        usage = None if self.parsed.include_usage else UNSET
        # What all chunks share is encoded once, which makes an event in half the time.
        before, after = event(self._completion([], usage)).rsplit(b"[]", 1)
        unfinished = len(self.continuations)
        try:
            async for ready in merged([continuation.stream for continuation in self.continuations]):
                piece = bytearray()
                for index, item in ready:
                    if isinstance(item, EngineError):
                        yield bytes(piece + event(error_response(item)))
                        return
                    choice = ENCODER.encode(self.continuations[index].choice(item, index))
                    piece += b"%b[%b]%b" % (before, choice, after)
                    unfinished -= item.finish_reason is not None
                if not unfinished:
                    if self.parsed.include_usage:
                        piece += event(self._completion([], self._usage()))
                    piece += DONE
                yield bytes(piece)
        finally:
            self.cancel()

    async def _collect(self) -> Completion:
        choices = await asyncio.gather(*map(_read, self.continuations))
        best_of, n, chosen = self.parsed.best_of, self.parsed.n, []
        for first in range(0, len(choices), best_of):
            numbers = list(range(first, first + best_of))
            if best_of > n:
                numbers.sort(key=lambda number: self.continuations[number].mean_logprob, reverse=True)
            chosen += [choices[number] for number in numbers[:n]]
        for index, choice in enumerate(chosen):
            choice.index = index
        return self._completion(chosen, self._usage())

    def _usage(self) -> Usage:
        generated = sum(continuation.tokens for continuation in self.continuations)
        return Usage(self._prompt_tokens, generated, self._prompt_tokens + generated)

    def _completion(self, choices: Sequence[Choice], usage: Usage | UnsetType | None) -> Completion:
        """Return the whole completion, or a chunk of it."""
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices), usage=usage)


async def _read(continuation: Continuation) -> Choice:
    return joined([continuation.choice(chunk, 0) async for chunk in continuation.stream])
