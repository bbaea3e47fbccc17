"""Turns the engine's chunks into choices: with the prompt, and with tokens as text."""

import codecs
from collections.abc import Sequence

from server.completions.schema import Choice, FinishReason, Logprobs
from server.engine import AnyEngine, Chunk, Stream, TokenLogprobs

LOWEST = -9999.0
"""The log probability of an impossible token, because JSON has no infinity."""


class Continuation:
    """One continuation of one prompt.

    prompt: its token ids. echo: begin the text with the prompt. logprobs: give log probabilities. tokens: the number
    of generated tokens so far.
    """

    def __init__(self, engine: AnyEngine, stream: Stream, prompt: Sequence[int], echo: bool, logprobs: bool) -> None:
        self.stream = stream
        self.tokens = 0
        self._engine = engine
        self._prompt = prompt
        self._echo = echo
        self._logprobs = logprobs
        self._sum, self._drawn = 0.0, 0
        self._length = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0

    @property
    def mean_logprob(self) -> float:
        """The mean log probability of the tokens and the end of the text; 0 without log probabilities."""
        return self._sum / max(self._drawn, 1)

    def choice(self, chunk: Chunk, index: int) -> Choice:
        """Return the next chunk of the stream as a piece of the choice `index`."""
        self.tokens += len(chunk.token_ids)
        if chunk.logprobs:
            self._drawn += len(chunk.logprobs)
            self._sum += sum(each.logprob for each in chunk.logprobs)
        logprobs = Logprobs() if self._logprobs else None
        text = chunk.text
        if self._echo:
            self._echo = False
            text = self._spell_prompt(chunk, logprobs) + text
        self._length += len(text)
        if logprobs is not None:
            self._spell_drawn(chunk, logprobs)
        reason: FinishReason | None = None if chunk.finish_reason == "cancelled" else chunk.finish_reason
        return Choice(text, index, logprobs, reason)

    def _spell_prompt(self, chunk: Chunk, logprobs: Logprobs | None) -> str:
        if logprobs is None:
            return b"".join(map(self._engine.tokenizer.spell, self._prompt)).decode("utf-8", "replace")
        text = "".join(
            self._add(logprobs, token, each) for token, each in zip(self._prompt, chunk.prompt_logprobs, strict=True)
        )
        rest = self._decoder.decode(b"", final=True)
        self._offset += len(rest)
        return text + rest

    def _spell_drawn(self, chunk: Chunk, logprobs: Logprobs) -> None:
        ids = list(chunk.token_ids)
        ended = len(chunk.logprobs) > len(ids)
        if ended:
            ids.append(self._engine.bundle.manifest.model.end_of_text)
        for token, each in zip(ids, chunk.logprobs, strict=True):
            # Leave out tokens of a stop string that begin after the text.
            if ended or chunk.finish_reason != "stop" or self._offset < self._length:
                self._add(logprobs, token, each)

    def _add(self, logprobs: Logprobs, token: int, found: TokenLogprobs | None) -> str:
        """Add a token. Return the characters up to its end."""
        spelled, text = self._engine.tokenizer.spell(token), ""
        if spelled[0] & 0xC0 != 0x80:  # it begins a character; an unfinished one stays unfinished
            text = self._decoder.decode(b"", final=True)
            self._offset += len(text)
        logprobs.tokens.append(token_text(spelled))
        logprobs.text_offset.append(self._offset)
        logprobs.token_logprobs.append(None if found is None else max(found.logprob, LOWEST))
        logprobs.top_logprobs.append(None if found is None else self._top(token, found))
        own = self._decoder.decode(spelled)
        self._offset += len(own)
        return text + own

    def _top(self, token: int, found: TokenLogprobs) -> dict[str, float]:
        """Return the log probabilities of the likeliest tokens and the sampled one."""
        return {
            token_text(self._engine.tokenizer.spell(each)): max(logprob, LOWEST)
            for each, logprob in (*found.top, (token, found.logprob))
        }


def token_text(spelled: bytes) -> str:
    """Return a token's text, or the bytes of part of a character as OpenAI writes them: bytes:\\xe2\\x80."""
    try:
        return spelled.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelled)


def joined(choices: Sequence[Choice]) -> Choice:
    """Join the choices of all chunks of a continuation into one."""
    whole, *others = choices
    whole.text = "".join(choice.text for choice in choices)
    whole.finish_reason = choices[-1].finish_reason
    for other in others:
        for name in Logprobs.__struct_fields__ if whole.logprobs else ():
            getattr(whole.logprobs, name).extend(getattr(other.logprobs, name))
    return whole
