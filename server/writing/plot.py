"""A plot as it is being written: the engine's stream, ended where a writer would end it."""

import re
from collections.abc import AsyncIterator

from server.engine import AnyEngine, EngineError, FinishReason, PromptTooLong, Stream
from server.writing.brief import Brief, BriefError

SENTENCE_END = re.compile(r"""\w{3}[.!?…]["'”’)]*$""")
"""A full stop after at least three letters: not the one of "Mr." or of an initial."""


def begin(engine: AnyEngine, brief: Brief, max_tokens: int, client: str = "", count: int = 1) -> "list[Plot]":
    """So many plots of a client's brief, whose prompt is read once, with seeds that follow one another.

    Raises BriefError for a prompt that is too long and EngineBusy when there is no room.
    """
    try:
        streams = engine.submit_several(brief.request(engine.bundle.manifest, max_tokens, client), count)
    except PromptTooLong as error:
        raise BriefError({"prompt": _too_long(brief.prompt, error)}) from error
    return [Plot(stream, brief) for stream in streams]


class Plot:
    """What is written for a brief; iterate over it for the text, piece by piece, in order.

    opening: the writer's words. seed: what gives this plot again. prompt_tokens: how many the prompt has.
    tokens: how many were written. finish_reason: None until the end. failure: what to tell the reader when the engine
    failed, otherwise None.
    """

    def __init__(self, stream: Stream, brief: Brief) -> None:
        self._stream: Stream | None = stream
        self._enough = brief.length.enough
        self.opening = brief.prompt
        self.seed = stream.seed
        self.prompt_tokens = stream.prompt_tokens
        self.tokens = 0
        self.finish_reason: FinishReason | None = None
        self.failure: str | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        if self._stream is None:
            return
        tail = ""
        try:
            async for chunk in self._stream:
                # A sentence has ended for certain once the next word begins: a quotation mark may follow a full stop.
                if self.tokens >= self._enough and chunk.text[:1].isspace() and SENTENCE_END.search(tail):
                    self._stream.cancel("stop")
                    self.finish_reason = "stop"
                    return
                self.tokens += len(chunk.token_ids)
                if chunk.text:
                    tail = (tail + chunk.text)[-8:]
                    yield chunk.text
                self.finish_reason = chunk.finish_reason
        except EngineError as error:
            self.failure = f"The plot broke off: {error}."
        finally:
            self.cancel()
            self._stream = None  # a plot may be kept for long after its end

    def cancel(self) -> None:
        """Ends the work, wherever it is; for a plot that has ended, nothing. From any thread."""
        if (stream := self._stream) is not None:
            stream.cancel()


def _too_long(prompt: str, error: PromptTooLong) -> str:
    # The share that fits, less a little: tokens are not spread evenly over the characters.
    room = int(len(prompt) * error.limit / error.tokens * 0.95)
    return f"Too long for the model: {len(prompt):,} characters, and it can read about {room:,} of them. Shorten it."
