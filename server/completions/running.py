"""A completion in the making: its continuations, and the fields that all of its chunks share."""

import time
import uuid
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from server.completions.continuation import Continuation
from server.completions.errors import RequestError
from server.completions.parsed_request import ParsedRequest
from server.completions.schema import Choice, Completion
from server.engine import AnyEngine, InvalidRequest
from server.writing.usage import Usage


class RunningCompletion:
    """Submits all prompts of a request to the engine, or none.

    continuations: prompt by prompt, `ParsedRequest.best_of` of each. Call `cancel` in the end, in any case. Raises
    RequestError for a prompt that can never be served, EngineBusy when there is no room for all of them.
    """

    def __init__(self, engine: AnyEngine, parsed: ParsedRequest) -> None:
        self.parsed = parsed
        self.continuations: list[Continuation] = []
        self._id = f"cmpl-{uuid.uuid4().hex}"
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
        """Ends the work; does nothing to a completion that is whole."""
        for continuation in self.continuations:
            continuation.stream.cancel()

    @property
    def usage(self) -> Usage:
        """The tokens of the prompts, and those generated so far."""
        written = sum(continuation.tokens for continuation in self.continuations)
        return Usage(self._prompt_tokens, written, self._prompt_tokens + written)

    def completion(self, choices: Sequence[Choice], usage: Usage | UnsetType | None = UNSET) -> Completion:
        """The whole completion, or a chunk of it."""
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices), usage=usage)
