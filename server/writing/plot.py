"""A plot in progress: the engine's stream, until a good end."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace

from server.engine import AnyEngine, EngineError, FinishReason, PromptTooLong, Request, Stream, choose_seeds
from server.writing.brief import Brief, BriefError

SENTENCE_END = re.compile(r"""\w{3}[.!?…]["'”’)]*$""")
"""A full stop after at least three letters; not after "Mr." or an initial."""


def begin(
    engine: AnyEngine, brief: Brief, max_tokens: int, client: str = "", count: int = 1, scored: bool = False
) -> "list[Plot]":
    """Start `count` plots of a brief, with consecutive seeds. The engine reads the prompt once.

    On a blank page without a genre each has a genre of its own, and a prompt. Raises BriefError for a prompt over the
    context, EngineBusy if there is no room.

    scored: the plots count their log probabilities.
    """
    manifest = engine.bundle.manifest

    def requested(brief: Brief) -> Request:
        request = brief.request(manifest, max_tokens, client)
        return replace(request, sampling=replace(request.sampling, logprobs=0 if scored else None))

    request = requested(brief)
    try:
        if brief.draws_genre:
            seeds = choose_seeds(request.sampling, count)
            streams = [engine.submit(requested(brief.drawn(seed, manifest))) for seed in seeds]
        else:
            streams = engine.submit_several(request, count)
    except PromptTooLong as error:
        raise BriefError({"prompt": _too_long(brief.prompt, error)}) from error
    return [Plot(stream, brief) for stream in streams]


class Plot:
    """The text for a brief. Iterate over it for the pieces, in order.

    opening: the writer's words. seed: gives the same plot again. prompt_tokens, tokens: numbers of tokens of the prompt
    and the generated text. logprob: the log probability of the generated text in nats, if the plot counts it.
    finish_reason: None until the end. error: of the engine, if it failed; else None.
    """

    def __init__(self, stream: Stream, brief: Brief) -> None:
        self._stream: Stream | None = stream
        self._enough = brief.length.enough
        self.opening = brief.prompt
        self.seed = stream.seed
        self.prompt_tokens = stream.prompt_tokens
        self.tokens = 0
        self.logprob = 0.0
        self.finish_reason: FinishReason | None = None
        self.error: EngineError | None = None

    @property
    def failure(self) -> str | None:
        """An explanation if the engine failed, else None."""
        return f"The plot broke off: {self.error}." if self.error else None

    async def __aiter__(self) -> AsyncIterator[str]:
        if self._stream is None:
            return
        tail = ""
        try:
            async for chunk in self._stream:
                # The next word proves the end of a sentence: a quotation mark may follow the full stop.
                if self.tokens >= self._enough and chunk.text[:1].isspace() and SENTENCE_END.search(tail):
                    self._stream.cancel("stop")
                    self.finish_reason = "stop"
                    return
                self.tokens += len(chunk.token_ids)
                self.logprob += sum(each.logprob for _, each in zip(chunk.token_ids, chunk.logprobs, strict=False))
                if chunk.text:
                    tail = (tail + chunk.text)[-8:]
                    yield chunk.text
                self.finish_reason = chunk.finish_reason
        except EngineError as error:
            self.error = error
        finally:
            self.cancel()
            self._stream = None  # someone may keep the plot long after its end

    def cancel(self) -> None:
        """Stop the work, if it has not ended. Callable from any thread."""
        if (stream := self._stream) is not None:
            stream.cancel()


def _too_long(prompt: str, error: PromptTooLong) -> str:
    # A little less than the share that fits: tokens have different lengths.
    room = int(len(prompt) * error.limit / error.tokens * 0.95)
    return f"Too long for the model: {len(prompt):,} characters. It can read about {room:,}. Shorten the text."
