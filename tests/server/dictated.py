"""A plot without an engine: it says what it is told, when it is told."""

import asyncio
from collections.abc import AsyncIterator

from server.engine import EngineError, FinishReason
from server.writing.plot import Plot


class Dictated(Plot):
    """Writes each text that is given to `say`, until `end` or `fail`."""

    def __init__(self) -> None:
        self.opening, self.seed, self.prompt_tokens, self.tokens = "A fox", 7, 3, 0
        self.finish_reason: FinishReason | None = None
        self.error: EngineError | None = None
        self._said: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    def say(self, text: str) -> None:
        self._said.put_nowait(text)

    def end(self, reason: FinishReason) -> None:
        if self.finish_reason is None:
            self.finish_reason = reason
            self._said.put_nowait(None)

    def fail(self, error: Exception) -> None:
        self._said.put_nowait(error)

    def cancel(self) -> None:
        self.end("cancelled")

    async def __aiter__(self) -> AsyncIterator[str]:
        while (said := await self._said.get()) is not None:
            if isinstance(said, EngineError):
                self.error = said
                return
            if isinstance(said, Exception):
                raise said
            self.tokens += 1
            yield said
