"""The state of one continuation while it is being written."""

from collections.abc import Sequence as Tokens

from server.engine.detokenizer import Detokenizer
from server.engine.sampler import Sampler
from server.engine.stream import Channel, Chunk, FinishReason


class Sequence:
    """One continuation: its prompt, its sampler, and the text on its way to the reader.

    against, guidance: the prompt that it is led away from, empty for none, and how far.
    limit: how many tokens it may have at most, so that prompt and continuation fit into the context.
    """

    def __init__(
        self,
        prompt: Tokens[int],
        against: Tokens[int],
        guidance: float,
        limit: int,
        end_of_text: int,
        sampler: Sampler,
        detokenizer: Detokenizer,
    ) -> None:
        self.prompt = prompt
        self.against = against
        self.guidance = guidance
        self.sampler = sampler
        self.channel = Channel()
        self._limit = limit
        self._end_of_text = end_of_text
        self._detokenizer = detokenizer
        self._length = 0
        self._unsent: list[int] = []

    def append(self, token: int) -> FinishReason | None:
        """Takes the next token, sends what text it completes, and says whether (and why) it was the last."""
        if token == self._end_of_text:
            return self._send(self._detokenizer.flush(), "stop")
        self._length += 1
        self._unsent.append(token)
        text = self._detokenizer.push(token)
        if self._length == self._limit:
            return self._send(text + self._detokenizer.flush(), "length")
        return self._send(text, None) if text else None

    def _send(self, text: str, finish_reason: FinishReason | None) -> FinishReason | None:
        self.channel.put(Chunk(text, tuple(self._unsent), finish_reason))
        self._unsent.clear()
        return finish_reason
