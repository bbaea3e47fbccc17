"""An answer while it is being written: its continuations, and what all of its chunks have in common."""

import time
import uuid
from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from server.completions.continuation import Continuation
from server.completions.errors import RequestError
from server.completions.order import Order
from server.completions.schema import Choice, Completion
from server.engine import AnyEngine, InvalidRequest
from server.writing.usage import Usage


class Answer:
    """Submits an order to the engine: all of it, or nothing.

    continuations: prompt by prompt, `Order.best_of` of each. `cancel` it in the end, however that comes about.

    Raises RequestError for a prompt that can never be served, EngineBusy when there is no room for all of them.
    """

    def __init__(self, engine: AnyEngine, order: Order) -> None:
        self.order = order
        self.continuations: list[Continuation] = []
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = engine.bundle.manifest.name
        self._prompt_tokens = 0
        try:
            for number, (prompt, request) in enumerate(zip(order.prompts, order.requests, strict=True)):
                try:
                    streams = engine.submit_several(request, order.best_of)
                except InvalidRequest as error:
                    raise RequestError.of_prompt(error, number if len(order.requests) > 1 else None) from error
                self._prompt_tokens += streams[0].prompt_tokens
                self.continuations += [
                    Continuation(engine, stream, prompt, order.echo, order.logprobs) for stream in streams
                ]
        except Exception:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Ends the work, wherever it is; for an answer that is complete, nothing."""
        for continuation in self.continuations:
            continuation.stream.cancel()

    @property
    def usage(self) -> Usage:
        """The tokens of the prompts, and those that were written so far."""
        written = sum(continuation.tokens for continuation in self.continuations)
        return Usage(self._prompt_tokens, written, self._prompt_tokens + written)

    def completion(self, choices: Sequence[Choice], usage: Usage | UnsetType | None = UNSET) -> Completion:
        """The whole answer, or a chunk of it."""
        return Completion(id=self._id, created=self._created, model=self._model, choices=list(choices), usage=usage)
